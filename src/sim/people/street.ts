import { type LatLng, offsetMetres } from '@contracts/geo.ts';
import type { Random } from '@platform/random.ts';

/** What people tell one another in the street, outside of the system. */
export interface Street {
  /** The start code that the rider says at the pickup, by trip. */
  codes: Map<string, string>;
  trips: { tripId: string; riderId: string }[];
  receipts: { paymentId: string }[];
  point(random: Random): LatLng;
}

const centre = { lat: 10.776, lng: 106.7 };
const reachMetres = 1_500;

export const createStreet = (): Street => ({
  codes: new Map(),
  trips: [],
  receipts: [],
  point: (random) =>
    offsetMetres(centre, (random.next() * 2 - 1) * reachMetres, (random.next() * 2 - 1) * reachMetres),
});
