import type { Product } from '../../src/contracts/drivers.ts';
import { type LatLng, offsetPoint } from '../../src/contracts/geo.ts';
import type { DriverId } from '../../src/contracts/ids.ts';
import { createSeededRandom, type Random } from '../../src/platform/random.ts';

const centre: LatLng = { lat: 10.7769, lng: 106.7009 };

/** A city of 40 km: a third of all points are in the centre, most others around 40 quarters, few in between. */
export interface Town {
  /** A random point with the distribution of the town; drivers and riders share it. */
  randomPoint(): LatLng;
  random: Random;
}

export function createTown(seed: number): Town {
  const random = createSeededRandom(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
  const quarters = Array.from({ length: 40 }, () => ({
    east: normal() * 9_000,
    north: normal() * 9_000,
    spread: 500 + random.next() * 1_500,
  }));
  return {
    random,
    randomPoint() {
      const dice = random.next();
      const quarter = quarters[Math.floor(random.next() * quarters.length)];
      if (dice < 0.33 || quarter === undefined)
        return offsetPoint(centre, normal() * 2_500, normal() * 2_500);
      const spread = dice < 0.93 ? quarter.spread : 12_000;
      const { east, north } = dice < 0.93 ? quarter : { east: 0, north: 0 };
      return offsetPoint(centre, east + normal() * spread, north + normal() * spread);
    },
  };
}

export interface TownDriver {
  driverId: DriverId;
  product: Product;
  availability: 'available' | 'busy';
  point: LatLng;
}

/** Creates drivers: half of them on bikes, a third busy. */
export function createTownDrivers(town: Town, count: number): TownDriver[] {
  const { random } = town;
  const hex = (digits: number) =>
    Math.floor(random.next() * 16 ** digits)
      .toString(16)
      .padStart(digits, '0');
  return Array.from({ length: count }, () => {
    const dice = random.next();
    const product: Product = dice < 0.5 ? 'bike' : dice < 0.85 ? 'car' : 'car_xl';
    return {
      driverId: `01a${hex(5)}-${hex(4)}-7${hex(3)}-8${hex(3)}-${hex(12)}` as DriverId,
      product,
      availability: random.next() < 0.33 ? 'busy' : 'available',
      point: town.randomPoint(),
    };
  });
}
