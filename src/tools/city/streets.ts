import type { Product } from '@contracts/drivers.ts';
import { distanceMetres, type LatLng, offsetPoint } from '@contracts/geo.ts';
import type { Random } from '@platform/random.ts';
import { cityProducts } from './products.ts';

/** A path along streets. `metresAt[i]` is the distance from the start to `points[i]`. */
export interface Path {
  points: readonly LatLng[];
  metresAt: readonly number[];
  lengthMetres: number;
}

const blockMetres = 100;
const turnsMax = 4;

/**
 * A path between two points along a street grid that runs east–west and north–south: a staircase that never goes
 * back, with corners a whole number of blocks apart.
 */
export function gridPath(from: LatLng, to: LatLng, random: Random): Path {
  const east = signedDistance(from, to, 'east');
  const north = signedDistance(from, to, 'north');
  const turns = 1 + Math.floor(random.next() * turnsMax);
  const points = [from];
  for (let turn = 1; turn <= turns; turn++) {
    const before = {
      east: wholeBlocks(east, (turn - 1) / turns),
      north: wholeBlocks(north, (turn - 1) / turns),
    };
    const after =
      turn === turns
        ? { east, north }
        : { east: wholeBlocks(east, turn / turns), north: wholeBlocks(north, turn / turns) };
    points.push(offsetPoint(from, after.east, before.north), offsetPoint(from, after.east, after.north));
  }
  points[points.length - 1] = to;
  return pathThrough(points);
}

const wholeBlocks = (metres: number, share: number): number =>
  Math.trunc((metres * share) / blockMetres) * blockMetres;

function signedDistance(from: LatLng, to: LatLng, axis: 'east' | 'north'): number {
  const corner = axis === 'east' ? { lat: from.lat, lng: to.lng } : { lat: to.lat, lng: from.lng };
  const sign = axis === 'east' ? Math.sign(to.lng - from.lng) : Math.sign(to.lat - from.lat);
  return sign * distanceMetres(from, corner);
}

export function pathThrough(points: readonly LatLng[]): Path {
  const metresAt: number[] = [];
  let lengthMetres = 0;
  let previous: LatLng | undefined;
  for (const point of points) {
    if (previous !== undefined) lengthMetres += distanceMetres(previous, point);
    metresAt.push(lengthMetres);
    previous = point;
  }
  return { points, metresAt, lengthMetres };
}

/** The point after `metres`, or the end of the path if it is shorter. */
export function pointAlong(path: Path, metres: number): LatLng {
  const { before, after, share } = legAt(path, metres);
  return {
    lat: before.lat + (after.lat - before.lat) * share,
    lng: before.lng + (after.lng - before.lng) * share,
  };
}

/** Degrees clockwise from north, in [0, 360). */
export function headingAlong(path: Path, metres: number): number {
  const { before, after } = legAt(path, metres);
  const east = signedDistance(before, after, 'east');
  const north = signedDistance(before, after, 'north');
  const degrees = (Math.atan2(east, north) * 180) / Math.PI;
  return (degrees + 360) % 360;
}

function legAt(path: Path, metres: number): { before: LatLng; after: LatLng; share: number } {
  const next = path.metresAt.findIndex((at) => at > metres);
  const end = next === -1 ? path.points.length - 1 : next;
  const after = path.points[end];
  const before = path.points[end - 1] ?? after;
  if (before === undefined || after === undefined) throw new RangeError('a path needs a point');
  if (next <= 0) return { before, after, share: 1 };
  const startMetres = path.metresAt[next - 1] ?? 0;
  const endMetres = path.metresAt[next] ?? startMetres;
  return { before, after, share: Math.max(0, (metres - startMetres) / (endMetres - startMetres)) };
}

// Long trips use faster roads: at this length the speed is twice that of a short trip.
const speedDoublesAtMetres = 15_000;

/** Metres per simulated second on a path of this length. */
export function travelSpeed(product: Product, lengthMetres: number): number {
  const { baseSpeedMetresPerSecond } = cityProducts[product];
  return baseSpeedMetresPerSecond * (1 + Math.min(1, lengthMetres / speedDoublesAtMetres));
}
