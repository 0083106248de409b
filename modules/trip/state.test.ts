import { describe, expect, test } from 'bun:test';
import type { DriverId, PaymentMethodId, QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { SignOutReason, TripStatus } from '@contracts/trips.ts';
import { loadConfig } from '@platform/config.ts';
import fc from 'fast-check';
import type { TripAction } from './lifecycle/actions.ts';
import { isFinal, transitionRules } from './lifecycle/transition-rules.ts';
import { tripPolicyOf, tripSettings } from './settings.ts';
import { createInitialTransition, decideTransition, type TripTransition } from './state.ts';
import { createGiven } from './testing/given.ts';
import { type ActorRef, driverOf, offerOf, type Trip } from './trip.ts';

const policy = tripPolicyOf(loadConfig(tripSettings, {}));
const riderId = 'rider' as RiderId;
const driverIds = ['driver 1', 'driver 2', 'driver 3'].map((id) => id as DriverId);
const system = { actor: 'system' } as const;
const startMs = 1_000_000;
const averageRatings = { rider: 4.5, driver: null };

const created = createInitialTransition(
  {
    id: 'trip' as TripId,
    riderId,
    riderProfile: { firstName: 'An', rating: null },
    startCode: '0042',
    fare: {
      quoteId: 'quote' as QuoteId,
      paymentMethodId: 'card' as PaymentMethodId,
      product: 'bike',
      pickup: { lat: 0, lng: 0 },
      dropoff: { lat: 0, lng: 0.1 },
      distanceMetres: 1,
      durationSeconds: 1,
      total: { amountMinor: 1, currency: 'VND' },
      lines: [],
    },
  },
  startMs,
  policy,
);

const driverId = fc.constantFrom(...driverIds);
const driver = driverId.map((id) => ({ actor: 'driver', id }) as const);
const anyone: fc.Arbitrary<ActorRef> = fc.oneof(
  driver,
  fc.constantFrom<ActorRef>(
    system,
    { actor: 'rider', id: riderId },
    { actor: 'rider', id: 'other' as RiderId },
  ),
);
const anyAction: fc.Arbitrary<TripAction> = fc.oneof(
  {
    weight: 4,
    arbitrary: driverId.map(
      (id): TripAction => ({ kind: 'offer', by: system, driver: { id, vehicle: vehicleOf(id) } }),
    ),
  },
  {
    weight: 4,
    arbitrary: driver.map((by): TripAction => ({ kind: 'accept', by, name: 'Bình', averageRatings })),
  },
  { weight: 2, arbitrary: driver.map((by): TripAction => ({ kind: 'decline', by, reason: null })) },
  { weight: 2, arbitrary: fc.constant<TripAction>({ kind: 'lapse', by: system, reason: null }) },
  {
    weight: 1,
    arbitrary: fc.constant<TripAction>({ kind: 'lapse', by: system, reason: 'driver_signed_out' }),
  },
  {
    weight: 1,
    arbitrary: fc.constant<TripAction>({ kind: 'reassign', by: system, reason: 'driver_banned' }),
  },
  { weight: 1, arbitrary: fc.constant<TripAction>({ kind: 'give_up', by: system }) },
  { weight: 4, arbitrary: driver.map((by): TripAction => ({ kind: 'arrive', by })) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(driver, fc.constantFrom('0042', '0042', '9999'))
      .map(([by, code]): TripAction => ({ kind: 'start', by, code })),
  },
  { weight: 4, arbitrary: driver.map((by): TripAction => ({ kind: 'complete', by, reason: null })) },
  { weight: 1, arbitrary: anyone.map((by): TripAction => ({ kind: 'cancel', by, reason: 'why not' })) },
);
const anySequence = fc.array(fc.tuple(anyAction, fc.constantFrom(0, 0, 1_000, 1_000, 20_000)), {
  maxLength: 60,
  size: 'max',
});

const vehicleOf = (id: DriverId) => ({ product: 'bike', plate: id, model: 'Wave', colour: 'red' }) as const;

/** Applies the actions in order and returns the trip with all transitions that were accepted. */
function applyActions(sequence: readonly (readonly [TripAction, number])[]): {
  trip: Trip;
  transitions: TripTransition[];
} {
  let { trip } = created;
  let atMs = startMs;
  const transitions = [created];
  for (const [action, waitMs] of sequence) {
    atMs += waitMs;
    const result = decideTransition(trip, action, atMs, policy);
    if (result.kind !== 'allowed') continue;
    trip = result.transition.trip;
    transitions.push(result.transition);
  }
  return { trip, transitions };
}

describe('after any sequence of actions', () => {
  const always = (name: string, holds: (outcome: ReturnType<typeof applyActions>) => void) =>
    test(name, () =>
      fc.assert(
        fc.property(anySequence, (sequence) => holds(applyActions(sequence))),
        { numRuns: 2_000 },
      ),
    );

  always('versions have no gaps', ({ transitions }) => {
    expect(transitions.map(({ historyEntry }) => historyEntry.version)).toEqual(
      transitions.map((_, index) => index + 1),
    );
    for (const { trip, historyEntry } of transitions) expect(trip.version).toBe(historyEntry.version);
  });

  always(
    'every transition is in the table, and starts in the state that the previous one ended in',
    ({ transitions }) => {
      transitions.slice(1).forEach(({ historyEntry, eventType }, index) => {
        expect(historyEntry.from).toBe(transitions[index]?.historyEntry.to ?? null);
        const isLegal = transitionRules.some(
          ({ from, to, by, eventType: expectedEvent }) =>
            from === historyEntry.from &&
            to === historyEntry.to &&
            by === historyEntry.actor &&
            expectedEvent === eventType,
        );
        expect(isLegal).toBe(true);
      });
    },
  );

  always('no transition follows a final state', ({ transitions }) => {
    for (const { historyEntry } of transitions.slice(0, -1)) expect(isFinal(historyEntry.to)).toBe(false);
  });

  always('timer, offer, driver and end are set only in their states', ({ transitions }) => {
    for (const { trip } of transitions) {
      expect('timerAtMs' in trip).toBe(!isFinal(trip.status));
      expect('end' in trip).toBe(isFinal(trip.status));
      expect('offer' in trip).toBe(trip.status === 'offered');
      expect('ratings' in trip).toBe(trip.status === 'completed');
      const isDriven = ['assigned', 'arrived', 'in_progress', 'completed'].includes(trip.status);
      if (trip.status !== 'cancelled') expect('driver' in trip).toBe(isDriven);
    }
  });

  always('each search assigns at most one driver, and no driver gets two offers', ({ trip, transitions }) => {
    const assigned: (DriverId | undefined)[] = [];
    for (const { eventType, trip: next, replacedDriverId } of transitions) {
      if (eventType === 'trip.assigned.v1') assigned.push(driverOf(next)?.id);
      if (eventType === 'trip.driver_replaced.v1') expect(replacedDriverId).toBe(assigned.pop() ?? null);
      expect(driverOf(next)?.id).toBe(assigned[0]);
      expect(assigned.length).toBeLessThanOrEqual(1);
    }
    expect(new Set(trip.offeredDriverIds).size).toBe(trip.offeredDriverIds.length);
  });

  always('fare and start code never change', ({ transitions }) => {
    for (const { trip } of transitions)
      expect(trip).toMatchObject({ fare: created.trip.fare, startCode: created.trip.startCode });
  });

  always('an offer is answered only by its driver and in time', ({ transitions }) => {
    transitions.forEach(({ eventType, historyEntry }, index) => {
      if (eventType !== 'trip.assigned.v1' && eventType !== 'trip.offer_declined.v1') return;
      const before = transitions[index - 1]?.trip;
      const offer = before && offerOf(before);
      expect(historyEntry.actorId).toBe(offer?.driver.id ?? null);
      expect(historyEntry.atMs).toBeLessThan(offer?.expiresAtMs ?? 0);
    });
  });

  test('every state is reached', () => {
    const seen = new Set<TripStatus>();
    const sequences = fc.sample(anySequence, { numRuns: 5_000, seed: 7 });
    for (const sequence of sequences)
      for (const { trip } of applyActions(sequence).transitions) seen.add(trip.status);
    expect([...seen].sort()).toEqual([
      'arrived',
      'assigned',
      'cancelled',
      'completed',
      'in_progress',
      'offered',
      'requested',
      'unfulfilled',
    ]);
  });
});

describe('at the time limits', () => {
  const [first, second] = driverIds as [DriverId, DriverId];
  const given = createGiven(startMs, policy);
  const offerTo = (id: DriverId): TripAction => ({
    kind: 'offer',
    by: system,
    driver: { id, vehicle: vehicleOf(id) },
  });
  const acceptBy = (id: DriverId): TripAction => ({
    kind: 'accept',
    by: { actor: 'driver', id },
    name: 'Bình',
    averageRatings,
  });
  const lapse = (reason: SignOutReason | null = null): TripAction => ({ kind: 'lapse', by: system, reason });
  const reassign: TripAction = { kind: 'reassign', by: system, reason: 'driver_banned' };
  const giveUp: TripAction = { kind: 'give_up', by: system };
  const requested = given(created.trip);
  const offered = requested.when(offerTo(first), 0).thenAllowed();

  test('an offer can be accepted until just before it expires', () => {
    offered.when(acceptBy(first), 14_999).thenAllowed();
    offered.when(acceptBy(first), 15_000).thenRejected('trip.offer_expired');
  });

  test('an offer lapses when it expires and not before', () => {
    offered.when(lapse(), 14_999).thenRejected('trip.wrong_state');
    offered.when(lapse(), 15_000).thenAllowed();
  });

  test('an offer lapses early, with the reason, if its driver has signed out', () => {
    offered
      .when(lapse('driver_signed_out'), 1_000)
      .thenAllowed({ historyEntry: { reason: 'driver_signed_out' }, offeredDriverId: first });
  });

  test('a reassigned trip gets the full search time again and keeps its quote', () => {
    const { trip } = offered
      .when(acceptBy(first), 10_000)
      .thenAllowed({ trip: { driver: { id: first, profile: { name: 'Bình', rating: null } } } })
      .when(reassign, 100_000)
      .thenAllowed({ replacedDriverId: first });
    expect(trip).toMatchObject({ status: 'requested', fare: created.trip.fare });
    expect(trip).not.toHaveProperty('driver');
    expect(trip.searchUntilMs).toBe(startMs + 220_000);
    expect(trip.offeredDriverIds).toEqual([first]);
  });

  test('the system does not reassign a ride that has begun', () => {
    offered
      .when(acceptBy(first), 1)
      .thenAllowed()
      .when({ kind: 'arrive', by: { actor: 'driver', id: first } }, 2)
      .thenAllowed()
      .when({ kind: 'start', by: { actor: 'driver', id: first }, code: '0042' }, 3)
      .thenAllowed()
      .when(reassign, 4)
      .thenRejected('trip.wrong_state');
  });

  test('a search makes no offer after its end, and does not end earlier', () => {
    requested.when(offerTo(second), 119_999).thenAllowed();
    requested.when(offerTo(second), 120_000).thenRejected('trip.wrong_state');
    requested.when(giveUp, 119_999).thenRejected('trip.wrong_state');
    requested.when(giveUp, 120_000).thenAllowed();
  });

  test('a driver who never had an offer gets trip.not_found', () => {
    offered.when(acceptBy(second), 0).thenRejected('trip.not_found');
  });

  test('a repeated accept succeeds', () => {
    offered.when(acceptBy(first), 5_000).thenAllowed().when(acceptBy(first), 6_000).thenRepeated();
  });

  test('a cancellation during an offer names the driver of the offer', () => {
    offered
      .when({ kind: 'cancel', by: { actor: 'rider', id: riderId }, reason: 'changed my mind' }, 1_000)
      .thenAllowed({ offeredDriverId: first, trip: { status: 'cancelled', driver: null } });
  });

  test('a completed trip has its driver, its end and no ratings yet', () => {
    const { trip } = offered
      .when(acceptBy(first), 1)
      .thenAllowed()
      .when({ kind: 'arrive', by: { actor: 'driver', id: first } }, 2)
      .thenAllowed()
      .when({ kind: 'start', by: { actor: 'driver', id: first }, code: '0042' }, 3)
      .thenAllowed()
      .when({ kind: 'complete', by: { actor: 'driver', id: first }, reason: null }, 4)
      .thenAllowed({ fareRule: 'quoted' });
    expect(trip).toMatchObject({
      status: 'completed',
      driver: { id: first, vehicle: vehicleOf(first) },
      end: { by: 'driver', reason: null },
      ratings: { byRider: null, byDriver: null },
    });
  });
});
