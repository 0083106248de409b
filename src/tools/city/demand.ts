import { type Product, products } from '@contracts/drivers.ts';
import { distanceMetres, type LatLng, offsetPoint } from '@contracts/geo.ts';
import type { Random } from '@platform/random.ts';
import { cityProducts } from './products.ts';
import { drawBetween, pickWeighted } from './random-draws.ts';

/** One ride request, `atSeconds` real seconds after the start of the city. */
export interface Demand {
  index: number;
  atSeconds: number;
  pickup: LatLng;
  dropoff: LatLng;
  product: Product;
}

/** Where and when rides are requested. Both methods are pure: the same seed gives the same demand. */
export interface DemandModel {
  /** An endless sequence in order of time, with `ratePerSecond` requests on average. */
  requests(ratePerSecond: number, random: Random): Generator<Demand, never>;
  /** A random point of demand. Drivers start and wait around such points. */
  randomPoint(random: Random): LatLng;
}

const productMix = products.map((product) => ({ product, weight: cityProducts[product].weight }));

export const drawProduct = (random: Random): Product => pickWeighted(productMix, random).product;

const productShares = (() => {
  const total = productMix.reduce((sum, { weight }) => sum + weight, 0);
  let cumulativeShare = 0;
  return productMix.map(({ product, weight }) => {
    cumulativeShare += weight / total;
    return { product, upTo: cumulativeShare };
  });
})();

/** Vehicle types in the proportions of the demand for any number of drivers. The golden-ratio sequence needs no randomness. */
export function productOfDriver(index: number): Product {
  const at = ((index + 0.5) * 0.618033988749895) % 1;
  return productShares.find(({ upTo }) => at < upTo)?.product ?? 'bike';
}

export const tripMetresMin = 500;

/** Returns the drop-off, moved away from the pickup if it is too close for a realistic ride. */
export function ensureTripDistance(pickup: LatLng, dropoff: LatLng, random: Random): LatLng {
  if (distanceMetres(pickup, dropoff) >= tripMetresMin) return dropoff;
  const angle = drawBetween(random, 0, 2 * Math.PI);
  const metres = drawBetween(random, tripMetresMin * 1.05, tripMetresMin * 2);
  return offsetPoint(pickup, Math.sin(angle) * metres, Math.cos(angle) * metres);
}
