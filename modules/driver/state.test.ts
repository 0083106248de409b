import { describe, expect, test } from 'bun:test';
import type { DriverId, TripId } from '@contracts/ids.ts';
import { createManualClock } from '@platform/clock.ts';
import { createIds } from '@platform/ids.ts';
import { createSeededRandom } from '@platform/random.ts';
import fc from 'fast-check';
import { type DriverTripEvent, parseTripEvent } from './events.ts';
import {
  applyEngagement,
  changeVehicle,
  currentEngagement,
  type DriverState,
  expireOffers,
  newDriver,
  offersExpireAtMs,
  requestStatus,
  statusOf,
} from './state.ts';
import { sampleDriverTripEvent, testVehicle } from './testing/harness.ts';

const newId = createIds(createManualClock(0), createSeededRandom(5));
const driverId = newId<DriverId>();
const availableDriver: DriverState = { ...newDriver, requestedStatus: 'available', vehicle: testVehicle };

const applyEvent = (state: DriverState, event: DriverTripEvent): DriverState => {
  const claim = parseTripEvent(event);
  if (claim === undefined) throw new Error('the event names no driver');
  return applyEngagement(state, claim.engagement);
};
const outcome = (state: DriverState) => ({
  status: statusOf(state),
  tripId: currentEngagement(state)?.tripId,
});

// The event sequences of a trip for one driver, according to the trip's own transitions.
const tripHistories = {
  declined: ['trip.offered.v1', 'trip.offer_declined.v1'],
  lapsed: ['trip.offered.v1', 'trip.offer_lapsed.v1'],
  cancelledWhileOffered: ['trip.offered.v1', 'trip.cancelled.v1'],
  cancelledOnTheWay: ['trip.offered.v1', 'trip.assigned.v1', 'trip.cancelled.v1'],
  replaced: ['trip.offered.v1', 'trip.assigned.v1', 'trip.driver_replaced.v1'],
  completed: ['trip.offered.v1', 'trip.assigned.v1', 'trip.completed.v1'],
} as const satisfies Record<string, readonly DriverTripEvent['type'][]>;
const eventsOfOpenTrip = { none: 0, offered: 1, assigned: 2 } as const;

/** All events of one driver in order: several complete trips, then one that may still be open. */
function legalSequence(
  histories: readonly (keyof typeof tripHistories)[],
  open: keyof typeof eventsOfOpenTrip,
  gapMs: number,
) {
  let atMs = Date.parse('2026-11-22T08:00:00Z');
  const eventsOfTrip = (types: readonly DriverTripEvent['type'][]) => {
    const tripId = newId<TripId>();
    let version = 2;
    return types.map((type) => {
      atMs += gapMs;
      // Between two events of this driver, the trip may have had offers to other drivers.
      version += 1 + (version % 3);
      return sampleDriverTripEvent(type, driverId, tripId, { version, atMs });
    });
  };
  const last = tripHistories.completed.slice(0, eventsOfOpenTrip[open]);
  return [...histories.flatMap((history) => eventsOfTrip(tripHistories[history])), ...eventsOfTrip(last)];
}

const sequence = (minLength: number, maxLength: number) =>
  fc
    .tuple(
      fc.array(fc.constantFrom(...(Object.keys(tripHistories) as (keyof typeof tripHistories)[])), {
        minLength,
        maxLength,
      }),
      fc.constantFrom(...(Object.keys(eventsOfOpenTrip) as (keyof typeof eventsOfOpenTrip)[])),
      fc.constantFrom(0, 1, 4_000),
    )
    .map(([histories, open, gapMs]) => legalSequence(histories, open, gapMs));

const shuffledWithDuplicates = (minLength: number, maxLength: number) =>
  sequence(minLength, maxLength).chain((events) =>
    fc.record({
      events: fc.constant(events),
      arriving: fc
        .array(events.length === 0 ? fc.nat({ max: 0 }) : fc.nat({ max: events.length - 1 }), {
          maxLength: events.length === 0 ? 0 : 20,
        })
        .map((again) => [...events.keys(), ...again])
        .chain((places) => fc.shuffledSubarray(places, { minLength: places.length }))
        .map((places) => places.flatMap((place) => events[place] ?? [])),
    }),
  );

describe('applying trip events to a driver', () => {
  test('leads to the same state in every order and with duplicates', () => {
    fc.assert(
      fc.property(shuffledWithDuplicates(0, 8), ({ events, arriving }) => {
        expect(outcome(arriving.reduce(applyEvent, availableDriver))).toEqual(
          outcome(events.reduce(applyEvent, availableDriver)),
        );
      }),
      { numRuns: 500 },
    );
  });

  test('leads to the same state also over more trips than engagements are kept', () => {
    fc.assert(
      fc.property(
        shuffledWithDuplicates(40, 90).filter(
          ({ events }) => (events[1]?.time ?? '') > (events[0]?.time ?? ''),
        ),
        ({ events, arriving }) => {
          const end = arriving.reduce(applyEvent, availableDriver);
          expect(outcome(end)).toEqual(outcome(events.reduce(applyEvent, availableDriver)));
          expect(end.engagements.length).toBeLessThanOrEqual(33);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('in order, makes the driver held, on the trip, available and held again', () => {
    const events = legalSequence(['completed'], 'offered', 1_000);
    const seen: string[] = [];
    events.reduce((state, event) => {
      const next = applyEvent(state, event);
      seen.push(statusOf(next));
      return next;
    }, availableDriver);
    expect(seen).toEqual(['held', 'on_trip', 'available', 'held']);
  });

  test('does not free the driver of one trip when another trip ends', () => {
    const [first, second] = [newId<TripId>(), newId<TripId>()];
    const state = [
      sampleDriverTripEvent('trip.assigned.v1', driverId, second, { version: 3, atMs: 5_000 }),
      sampleDriverTripEvent('trip.offer_lapsed.v1', driverId, first, { version: 9, atMs: 9_000 }),
    ].reduce(applyEvent, availableDriver);
    expect(outcome(state)).toEqual({ status: 'on_trip', tripId: second });
  });

  test('keeps the requested status offline through an offer that arrives too late', () => {
    const [offered, lapsed] = legalSequence(['lapsed'], 'none', 1_000) as [DriverTripEvent, DriverTripEvent];
    const offlineDriver: DriverState = { ...availableDriver, requestedStatus: 'offline' };
    const offeredTo = applyEvent(offlineDriver, offered);
    expect(statusOf(offeredTo)).toBe('held');
    expect(statusOf(applyEvent(offeredTo, lapsed))).toBe('offline');
  });

  test('ignores an event that names no driver', () => {
    const event = sampleDriverTripEvent('trip.cancelled.v1', driverId, newId<TripId>(), {
      version: 2,
      atMs: 1,
    });
    expect(parseTripEvent({ ...event, data: { ...event.data, driverId: null } })).toBeUndefined();
  });
});

describe('an offer that expired without an event', () => {
  const [offered, assigned] = legalSequence(['completed'], 'none', 1_000) as [
    DriverTripEvent,
    DriverTripEvent,
  ];
  const held = applyEvent(availableDriver, offered);
  const expiresAtMs = offersExpireAtMs(held) ?? Number.NaN;

  test('frees the driver some time after its expiry, not before', () => {
    expect(expiresAtMs).toBeGreaterThan(Date.parse(offered.data.offerExpiresAt ?? ''));
    expect(expireOffers(held, expiresAtMs)).toBe(held);
    const freed = expireOffers(held, expiresAtMs + 1);
    expect(statusOf(freed)).toBe('available');
    expect(offersExpireAtMs(freed)).toBeNull();
  });

  test('does not hold the driver again when redelivered, but later events of the trip apply', () => {
    const freed = expireOffers(held, expiresAtMs + 1);
    expect(applyEvent(freed, offered)).toBe(freed);
    expect(statusOf(applyEvent(freed, assigned))).toBe('on_trip');
  });
});

describe('a request of a driver', () => {
  const busy = applyEvent(availableDriver, legalSequence([], 'offered', 1)[0] as DriverTripEvent);

  test('to be available is refused without a vehicle', () => {
    expect(requestStatus(newDriver, 'available', 1)).toEqual({
      kind: 'refused',
      code: 'driver.vehicle_required',
    });
    const driven = changeVehicle(newDriver, testVehicle);
    expect(driven).toMatchObject({ kind: 'changed', state: { vehicle: testVehicle } });
  });

  test('to go offline or change the vehicle is refused while a trip holds the driver', () => {
    expect(requestStatus(busy, 'offline', 1)).toEqual({ kind: 'refused', code: 'driver.busy' });
    expect(changeVehicle(busy, { ...testVehicle, plate: '51B-1' })).toEqual({
      kind: 'refused',
      code: 'driver.busy',
    });
  });

  test('changes nothing when it is repeated', () => {
    expect(requestStatus({ ...availableDriver, requestedAtMs: 5 }, 'available', 5)).toEqual({
      kind: 'unchanged',
    });
    expect(requestStatus(newDriver, 'offline', 5)).toEqual({ kind: 'unchanged' });
    expect(changeVehicle(availableDriver, { ...testVehicle })).toEqual({ kind: 'unchanged' });
  });

  test('to be available again while an offer still holds the driver is recorded for afterwards', () => {
    const decided = requestStatus({ ...busy, requestedStatus: 'offline' }, 'available', 1);
    expect(decided).toMatchObject({ kind: 'changed', state: { requestedStatus: 'available' } });
  });
});
