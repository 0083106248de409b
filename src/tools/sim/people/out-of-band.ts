import { type LatLng, offsetPoint } from '@contracts/geo.ts';
import type { Random } from '@platform/random.ts';

/** What people tell each other outside of the system. */
export interface OutOfBand {
  /** The start code that the rider tells the driver at the pickup, by trip. */
  startCodes: Map<string, string>;
  trips: { tripId: string; riderId: string }[];
  receipts: { paymentId: string }[];
  randomPoint(random: Random): LatLng;
}

const centre = { lat: 10.776, lng: 106.7 };
const radiusMetres = 1_500;

export const createOutOfBand = (): OutOfBand => ({
  startCodes: new Map(),
  trips: [],
  receipts: [],
  randomPoint: (random) =>
    offsetPoint(centre, (random.next() * 2 - 1) * radiusMetres, (random.next() * 2 - 1) * radiusMetres),
});
