import { describe, expect, test } from 'bun:test';
import { formatTimestamp } from '@contracts/common.ts';
import type { DriverId, PersonId, TripId } from '@contracts/ids.ts';
import type { Receipt } from '@contracts/payments.ts';
import { Trip, type TripHistoryEntry, type TripStatus } from '@contracts/trips.ts';
import { Value } from '@sinclair/typebox/value';
import { createObservations, type Observations, type ViolationRule } from './observations.ts';

const id = (digit: number) => `00000000-0000-7000-8000-00000000000${digit}`;
const rider = id(1) as PersonId;
const [ann, bob] = [id(2) as DriverId, id(3) as DriverId];
const [first, second] = [id(4) as TripId, id(5) as TripId];
const fare = { amountMinor: 25_000, currency: 'VND' } as const;
const startMs = Date.UTC(2026, 10, 22, 8);

const completed: Trip = Value.Parse(Trip, {
  ...{
    id: first,
    status: 'completed',
    version: 6,
    vehicle: null,
  },
  ...{ product: 'bike', pickup: { lat: 10, lng: 106 }, dropoff: { lat: 10.1, lng: 106 }, fare },
  ...{ distanceMetres: 1000, durationSeconds: 300, endedBy: null, reason: null },
  ...{
    ratings: { byRider: null, byDriver: null },
    createdAt: formatTimestamp(startMs),
    updatedAt: formatTimestamp(startMs),
  },
});

const receipt: Receipt = {
  ...{ tripId: first, paymentId: id(7) as Receipt['paymentId'], status: 'captured', product: 'bike' },
  ...{ distanceMetres: 1000, durationSeconds: 300, total: fare, refunded: { ...fare, amountMinor: 0 } },
  ...{
    lines: [{ kind: 'base', amountMinor: 25_000 }],
    completedAt: formatTimestamp(startMs),
    capturedAt: null,
  },
};

const wholeRide: readonly TripStatus[] = [
  'requested',
  'offered',
  'assigned',
  'arrived',
  'in_progress',
  'completed',
];

/** A history from the request at `startSeconds` to the end, with transitions one minute apart. */
const history = (startSeconds: number, states = wholeRide): TripHistoryEntry[] =>
  states.map((to, index, all) => ({
    ...{ version: index + 1, from: all[index - 1] ?? null, to },
    ...{ actor: 'system', actorId: null, reason: null },
    at: formatTimestamp(startMs + (startSeconds + index * 60) * 1000),
  }));

function broken(look: (observed: Observations) => void): ViolationRule[] {
  const observations = createObservations();
  look(observations);
  return observations.violations.map(({ rule }) => rule);
}
const observed = (version: number, driverId: DriverId | null) =>
  ({ tripId: first, version, status: 'assigned', driverId }) as const;

describe('client-side checks', () => {
  test('a complete ride has no violation', () => {
    const rules = broken((city) => {
      city.recordTrip(rider, observed(1, null));
      city.recordTrip(rider, observed(3, ann), city.knownVersion(rider, first));
      city.checkHistory(completed, history(0));
      city.recordEnd('rider', completed);
      city.recordEnd('driver', completed);
      city.checkReceipt(completed, fare, receipt);
    });
    expect(rules).toEqual([]);
  });

  test('a trip has one driver unless the first was replaced', () => {
    const both = (items: TripHistoryEntry[]) =>
      broken((city) => {
        city.recordTrip(rider, observed(3, ann));
        city.recordTrip(bob as string as PersonId, observed(3, bob));
        city.checkHistory({ ...completed, version: items.length }, items);
      });
    expect(both(history(0))).toEqual(['two_drivers']);
    const replaced = ['requested', 'offered', 'assigned', ...wholeRide] as const;
    expect(both(history(0, replaced))).toEqual([]);
  });

  test('a read must not return an older version than was known before it', () => {
    const rules = broken((city) => {
      city.recordTrip(rider, observed(4, ann));
      city.recordTrip(rider, observed(3, ann), city.knownVersion(rider, first));
    });
    expect(rules).toEqual(['version_backwards']);
  });

  test('an event may arrive late', () => {
    const rules = broken((city) => {
      city.recordTrip(rider, observed(4, ann));
      city.recordTrip(rider, observed(3, ann));
    });
    expect(rules).toEqual([]);
  });

  test('a driver has one trip at a time', () => {
    const next = { ...completed, id: second };
    const oneAfterTheOther = broken((city) => {
      city.recordTrip(ann as string as PersonId, observed(3, ann));
      city.recordTrip(ann as string as PersonId, { ...observed(3, ann), tripId: second });
      city.checkHistory(completed, history(0));
      city.checkHistory(next, history(180));
    });
    expect(oneAfterTheOther).toEqual([]);
    const atOnce = broken((city) => {
      city.recordTrip(ann as string as PersonId, observed(3, ann));
      city.recordTrip(ann as string as PersonId, { ...observed(3, ann), tripId: second });
      city.checkHistory(completed, history(0));
      city.checkHistory(next, history(120));
    });
    expect(atOnce).toEqual(['driver_busy_twice']);
  });

  test('rider and driver must read the same final trip', () => {
    const rules = broken((city) => {
      city.recordEnd('driver', completed);
      city.recordEnd('rider', { ...completed, status: 'cancelled', fare: { ...fare, amountMinor: 1 } });
    });
    expect(rules).toEqual(['views_differ', 'views_differ']);
  });

  test('a receipt must not exceed the quote, and its lines must sum up to its total', () => {
    const dearer = { ...receipt, total: { ...fare, amountMinor: 26_000 } };
    expect(broken((city) => city.checkReceipt(completed, fare, dearer))).toEqual([
      'receipt_total',
      'receipt_total',
    ]);
  });
});
