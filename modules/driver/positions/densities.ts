import type { Product } from '@contracts/drivers.ts';
import type { LatLng } from '@contracts/geo.ts';

/** About 1.1 km: within this distance the density of a city stays similar. */
const areaDegrees = 0.01;
// Enough for several cities with all products; about 1 MB.
const areasMax = 8_192;
const unknownRadiusMetres = 500;

/**
 * Estimates, for each area, the density of drivers from the last searches. A wrong estimate costs a search time,
 * but never a driver.
 */
export function createDensities() {
  const perSquareMetre = new Map<string, number>();

  return {
    /**
     * The radius of a circle that probably holds `count` available drivers, with one standard deviation added.
     * With less, many searches find too few and read again; with more, all searches read too many.
     */
    radiusMetres(point: LatLng, product: Product | undefined, count: number): number {
      const density = perSquareMetre.get(areaOf(point, product));
      if (density === undefined) return unknownRadiusMetres;
      return Math.sqrt((count + Math.sqrt(count)) / (Math.PI * density));
    },
    /** Records that `count` drivers were found within the radius. */
    learn(point: LatLng, product: Product | undefined, count: number, radiusMetres: number): void {
      const area = areaOf(point, product);
      const observed = Math.max(count, 0.5) / (Math.PI * Math.max(radiusMetres, 1) ** 2);
      const before = perSquareMetre.get(area) ?? observed;
      perSquareMetre.delete(area);
      perSquareMetre.set(area, Math.sqrt(before * observed));
      if (perSquareMetre.size > areasMax) perSquareMetre.delete(perSquareMetre.keys().next().value ?? area);
    },
  };
}

const areaOf = ({ lat, lng }: LatLng, product = 'all') =>
  `${product} ${Math.floor(lat / areaDegrees)} ${Math.floor(lng / areaDegrees)}`;
