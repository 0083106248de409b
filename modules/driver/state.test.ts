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
const working: DriverState = { ...newDriver, requestedStatus: 'available', vehicle: testVehicle };

const hear = (state: DriverState, event: DriverTripEvent): DriverState => {
  const heard = parseTripEvent(event);
  if (heard === undefined) throw new Error('the event names no driver');
  return applyEngagement(state, heard.said);
};
const outcome = (state: DriverState) => ({
  status: statusOf(state),
  tripId: currentEngagement(state)?.tripId,
});

// How a trip can go for one driver, by the trip's own transitions.
const stories = {
  declined: ['trip.offered.v1', 'trip.offer_declined.v1'],
  lapsed: ['trip.offered.v1', 'trip.offer_lapsed.v1'],
  cancelledWhileOffered: ['trip.offered.v1', 'trip.cancelled.v1'],
  cancelledOnTheWay: ['trip.offered.v1', 'trip.assigned.v1', 'trip.cancelled.v1'],
  replaced: ['trip.offered.v1', 'trip.assigned.v1', 'trip.driver_replaced.v1'],
  completed: ['trip.offered.v1', 'trip.assigned.v1', 'trip.completed.v1'],
} as const satisfies Record<string, readonly DriverTripEvent['type'][]>;
const endings = { none: 0, offered: 1, assigned: 2 } as const;

/** All events of one driver in the order in which they happened: trips one after the other, the last maybe not over. */
function legalSequence(told: readonly (keyof typeof stories)[], open: keyof typeof endings, gapMs: number) {
  let atMs = Date.parse('2026-11-22T08:00:00Z');
  const tell = (types: readonly DriverTripEvent['type'][]) => {
    const tripId = newId<TripId>();
    let version = 2;
    return types.map((type) => {
      atMs += gapMs;
      // Between two events of this driver the trip may have others, of drivers who were asked before.
      version += 1 + (version % 3);
      return sampleDriverTripEvent(type, driverId, tripId, { version, atMs });
    });
  };
  const last = stories.completed.slice(0, endings[open]);
  return [...told.flatMap((story) => tell(stories[story])), ...tell(last)];
}

const sequence = (minLength: number, maxLength: number) =>
  fc
    .tuple(
      fc.array(fc.constantFrom(...(Object.keys(stories) as (keyof typeof stories)[])), {
        minLength,
        maxLength,
      }),
      fc.constantFrom(...(Object.keys(endings) as (keyof typeof endings)[])),
      fc.constantFrom(0, 1, 4_000),
    )
    .map(([told, open, gapMs]) => legalSequence(told, open, gapMs));

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

describe('a driver hears of trips', () => {
  test('whatever the order and however often events come, he ends in the same state', () => {
    fc.assert(
      fc.property(shuffledWithDuplicates(0, 8), ({ events, arriving }) => {
        expect(outcome(arriving.reduce(hear, working))).toEqual(outcome(events.reduce(hear, working)));
      }),
      { numRuns: 500 },
    );
  });

  test('also over more trips than are remembered', () => {
    fc.assert(
      fc.property(
        shuffledWithDuplicates(40, 90).filter(
          ({ events }) => (events[1]?.time ?? '') > (events[0]?.time ?? ''),
        ),
        ({ events, arriving }) => {
          const end = arriving.reduce(hear, working);
          expect(outcome(end)).toEqual(outcome(events.reduce(hear, working)));
          expect(end.engagements.length).toBeLessThanOrEqual(33);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('in order, each event shows: held, on his trip, free again', () => {
    const events = legalSequence(['completed'], 'offered', 1_000);
    const seen: string[] = [];
    events.reduce((state, event) => {
      const next = hear(state, event);
      seen.push(statusOf(next));
      return next;
    }, working);
    expect(seen).toEqual(['held', 'on_trip', 'available', 'held']);
  });

  test('a trip that ends does not free him of another', () => {
    const [first, second] = [newId<TripId>(), newId<TripId>()];
    const state = [
      sampleDriverTripEvent('trip.assigned.v1', driverId, second, { version: 3, atMs: 5_000 }),
      sampleDriverTripEvent('trip.offer_lapsed.v1', driverId, first, { version: 9, atMs: 9_000 }),
    ].reduce(hear, working);
    expect(outcome(state)).toEqual({ status: 'on_trip', tripId: second });
  });

  test('his own wish to be offline outlives an offer that came too late to be stopped', () => {
    const [offered, lapsed] = legalSequence(['lapsed'], 'none', 1_000) as [DriverTripEvent, DriverTripEvent];
    const gone: DriverState = { ...working, requestedStatus: 'offline' };
    const asked = hear(gone, offered);
    expect(statusOf(asked)).toBe('held');
    expect(statusOf(hear(asked, lapsed))).toBe('offline');
  });

  test('an event that names no driver says nothing about one', () => {
    const event = sampleDriverTripEvent('trip.cancelled.v1', driverId, newId<TripId>(), {
      version: 2,
      atMs: 1,
    });
    expect(parseTripEvent({ ...event, data: { ...event.data, driverId: null } })).toBeUndefined();
  });
});

describe('an offer that ran out without a word', () => {
  const [offered, assigned] = legalSequence(['completed'], 'none', 1_000) as [
    DriverTripEvent,
    DriverTripEvent,
  ];
  const held = hear(working, offered);
  const expiresAtMs = offersExpireAtMs(held) ?? Number.NaN;

  test('frees him some time after its end, not before', () => {
    expect(expiresAtMs).toBeGreaterThan(Date.parse(offered.data.offerExpiresAt ?? ''));
    expect(expireOffers(held, expiresAtMs)).toBe(held);
    const freed = expireOffers(held, expiresAtMs + 1);
    expect(statusOf(freed)).toBe('available');
    expect(offersExpireAtMs(freed)).toBeNull();
  });

  test('does not hold him again when it comes again, but what the trip says later counts', () => {
    const freed = expireOffers(held, expiresAtMs + 1);
    expect(hear(freed, offered)).toBe(freed);
    expect(statusOf(hear(freed, assigned))).toBe('on_trip');
  });
});

describe('a driver decides', () => {
  const busy = hear(working, legalSequence([], 'offered', 1)[0] as DriverTripEvent);

  test('available only with a vehicle', () => {
    expect(requestStatus(newDriver, 'available', 1)).toEqual({
      kind: 'refused',
      code: 'driver.vehicle_required',
    });
    const driven = changeVehicle(newDriver, testVehicle);
    expect(driven).toMatchObject({ kind: 'changed', state: { vehicle: testVehicle } });
  });

  test('not offline, and no other vehicle, while a trip holds him', () => {
    expect(requestStatus(busy, 'offline', 1)).toEqual({ kind: 'refused', code: 'driver.busy' });
    expect(changeVehicle(busy, { ...testVehicle, plate: '51B-1' })).toEqual({
      kind: 'refused',
      code: 'driver.busy',
    });
  });

  test('the same again changes nothing', () => {
    expect(requestStatus({ ...working, requestedAtMs: 5 }, 'available', 5)).toEqual({ kind: 'unchanged' });
    expect(requestStatus(newDriver, 'offline', 5)).toEqual({ kind: 'unchanged' });
    expect(changeVehicle(working, { ...testVehicle })).toEqual({ kind: 'unchanged' });
  });

  test('back to work while an offer still holds him counts afterwards', () => {
    const decided = requestStatus({ ...busy, requestedStatus: 'offline' }, 'available', 1);
    expect(decided).toMatchObject({ kind: 'changed', state: { requestedStatus: 'available' } });
  });
});
