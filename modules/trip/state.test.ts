import { describe, expect, test } from 'bun:test';
import type { DriverId, PaymentMethodId, QuoteId, RiderId, TripId } from '@contracts/ids.ts';
import type { TripStatus } from '@contracts/trips.ts';
import { loadConfig } from '@platform/config.ts';
import fc from 'fast-check';
import type { TripAction } from './lifecycle/actions.ts';
import { isFinal, transitionRules } from './lifecycle/transition-rules.ts';
import { tripPolicyOf, tripSettings } from './settings.ts';
import { createInitialTransition, decideTransition, type TripTransition } from './state.ts';
import type { ActorRef, Trip } from './trip.ts';

const policy = tripPolicyOf(loadConfig(tripSettings, {}));
const riderId = 'rider' as RiderId;
const driverIds = ['driver 1', 'driver 2', 'driver 3'].map((id) => id as DriverId);
const system = { actor: 'system' } as const;
const startMs = 1_000_000;
const averages = { rider: 4.5, driver: null };

const begun = createInitialTransition(
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
  { weight: 4, arbitrary: driver.map((by): TripAction => ({ kind: 'accept', by, name: 'Bình', averages })) },
  { weight: 2, arbitrary: driver.map((by): TripAction => ({ kind: 'decline', by, reason: null })) },
  { weight: 2, arbitrary: fc.constant<TripAction>({ kind: 'lapse', by: system, reason: null }) },
  {
    weight: 1,
    arbitrary: fc.constant<TripAction>({ kind: 'lapse', by: system, reason: 'driver_signed_out' }),
  },
  { weight: 1, arbitrary: fc.constant<TripAction>({ kind: 'replace', by: system, reason: 'driver_banned' }) },
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
const anyDay = fc.array(fc.tuple(anyAction, fc.constantFrom(0, 0, 1_000, 1_000, 20_000)), {
  maxLength: 60,
  size: 'max',
});

const vehicleOf = (id: DriverId) => ({ product: 'bike', plate: id, model: 'Wave', colour: 'red' }) as const;

/** Everything that happened to a trip when all that was tried on it was tried in that order. */
function live(day: readonly (readonly [TripAction, number])[]): { trip: Trip; steps: TripTransition[] } {
  let { trip } = begun;
  let atMs = startMs;
  const steps = [begun];
  for (const [action, waitMs] of day) {
    atMs += waitMs;
    const result = decideTransition(trip, action, atMs, policy);
    if (result.kind !== 'moved') continue;
    trip = result.step.trip;
    steps.push(result.step);
  }
  return { trip, steps };
}

describe('whatever is tried in whatever order', () => {
  const always = (name: string, holds: (lived: ReturnType<typeof live>) => void) =>
    test(name, () =>
      fc.assert(
        fc.property(anyDay, (day) => holds(live(day))),
        { numRuns: 2_000 },
      ),
    );

  always('versions have no gap', ({ steps }) => {
    expect(steps.map(({ historyEntry }) => historyEntry.version)).toEqual(steps.map((_, index) => index + 1));
    for (const { trip, historyEntry: entry } of steps) expect(trip.version).toBe(entry.version);
  });

  always('every step is in the table, and begins where the one before ended', ({ steps }) => {
    steps.slice(1).forEach(({ historyEntry, eventType }, index) => {
      expect(historyEntry.from).toBe(steps[index]?.historyEntry.to ?? null);
      const legal = transitionRules.some(
        ({ from, to, by, eventType: told }) =>
          from === historyEntry.from &&
          to === historyEntry.to &&
          by === historyEntry.actor &&
          told === eventType,
      );
      expect(legal).toBe(true);
    });
  });

  always('nothing comes after a final state', ({ steps }) => {
    for (const { historyEntry } of steps.slice(0, -1)) expect(isFinal(historyEntry.to)).toBe(false);
  });

  always('a state has its timer, offer, driver and end exactly when it should', ({ steps }) => {
    for (const { trip } of steps) {
      expect(trip.timerAtMs === null).toBe(isFinal(trip.status));
      expect(trip.end !== null).toBe(isFinal(trip.status));
      expect(trip.offer !== null).toBe(trip.status === 'offered');
      const isDriven = ['assigned', 'arrived', 'in_progress', 'completed'].includes(trip.status);
      if (trip.status !== 'cancelled') expect(trip.driver !== null).toBe(isDriven);
    }
  });

  always('each search assigns one driver at most, and no driver is asked twice', ({ trip, steps }) => {
    const assigned: (DriverId | undefined)[] = [];
    for (const { eventType, trip: next, replacedDriverId } of steps) {
      if (eventType === 'trip.assigned.v1') assigned.push(next.driver?.id);
      if (eventType === 'trip.driver_replaced.v1') expect(replacedDriverId).toBe(assigned.pop() ?? null);
      expect(next.driver?.id).toBe(assigned[0]);
      expect(assigned.length).toBeLessThanOrEqual(1);
    }
    expect(new Set(trip.offeredDriverIds).size).toBe(trip.offeredDriverIds.length);
  });

  always('what the rider was promised never changes', ({ steps }) => {
    for (const { trip } of steps)
      expect(trip).toMatchObject({ fare: begun.trip.fare, startCode: begun.trip.startCode });
  });

  always('an offer is answered by the driver who has it, and in time', ({ steps }) => {
    steps.forEach(({ eventType, historyEntry }, index) => {
      if (eventType !== 'trip.assigned.v1' && eventType !== 'trip.offer_declined.v1') return;
      const offer = steps[index - 1]?.trip.offer;
      expect(historyEntry.actorId).toBe(offer?.driver.id ?? null);
      expect(historyEntry.atMs).toBeLessThan(offer?.expiresAtMs ?? 0);
    });
  });

  test('all states are reached', () => {
    const seen = new Set<TripStatus>();
    const days = fc.sample(anyDay, { numRuns: 5_000, seed: 7 });
    for (const day of days) for (const { trip } of live(day).steps) seen.add(trip.status);
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

describe('the last moments', () => {
  const [first, second] = driverIds as [DriverId, DriverId];
  const offered = moved(
    begun.trip,
    { kind: 'offer', by: system, driver: { id: first, vehicle: vehicleOf(first) } },
    0,
  );
  const accept: TripAction = { kind: 'accept', by: { actor: 'driver', id: first }, name: 'Bình', averages };

  function moved(trip: Trip, action: TripAction, afterMs: number): Trip {
    const result = decideTransition(trip, action, startMs + afterMs, policy);
    if (result.kind !== 'moved') throw new Error(`expected a step, got ${Bun.inspect(result)}`);
    return result.step.trip;
  }
  const at = (trip: Trip, action: TripAction, afterMs: number) =>
    decideTransition(trip, action, startMs + afterMs, policy);

  test('an offer can be accepted until just before its end', () => {
    expect(at(offered, accept, 14_999)).toMatchObject({ kind: 'moved' });
    expect(at(offered, accept, 15_000)).toEqual({ kind: 'refused', code: 'trip.offer_expired' });
  });

  test('an offer lapses at its end and not before', () => {
    expect(at(offered, { kind: 'lapse', by: system, reason: null }, 14_999)).toMatchObject({
      kind: 'refused',
    });
    expect(at(offered, { kind: 'lapse', by: system, reason: null }, 15_000)).toMatchObject({ kind: 'moved' });
  });

  test('an offer whose driver signed out lapses before its end, with the reason', () => {
    const lapse: TripAction = { kind: 'lapse', by: system, reason: 'driver_signed_out' };
    const step = { entry: { reason: 'driver_signed_out' }, offeredDriverId: first };
    expect(at(offered, lapse, 1_000)).toMatchObject({ kind: 'moved', step });
  });

  test('a trip whose driver is replaced searches for as long as a new one, with the same quote', () => {
    const assigned = moved(offered, accept, 10_000);
    const replaced = moved(assigned, { kind: 'replace', by: system, reason: 'driver_banned' }, 100_000);
    expect(replaced).toMatchObject({ status: 'requested', driver: null, fare: begun.trip.fare });
    expect(replaced.searchUntilMs).toBe(startMs + 220_000);
    expect(replaced.offeredDriverIds).toEqual([first]);
  });

  test('the driver of a ride that has begun is not replaced', () => {
    const arrived = moved(
      moved(offered, accept, 1),
      { kind: 'arrive', by: { actor: 'driver', id: first } },
      2,
    );
    const started = moved(arrived, { kind: 'start', by: { actor: 'driver', id: first }, code: '0042' }, 3);
    const replace: TripAction = { kind: 'replace', by: system, reason: 'driver_banned' };
    expect(at(started, replace, 4)).toEqual({ kind: 'refused', code: 'trip.wrong_state' });
  });

  test('a search makes no offer after its end, and is not given up before', () => {
    const offer: TripAction = {
      kind: 'offer',
      by: system,
      driver: { id: second, vehicle: vehicleOf(second) },
    };
    expect(at(begun.trip, offer, 119_999)).toMatchObject({ kind: 'moved' });
    expect(at(begun.trip, offer, 120_000)).toEqual({ kind: 'refused', code: 'trip.wrong_state' });
    expect(at(begun.trip, { kind: 'give_up', by: system }, 119_999)).toMatchObject({ kind: 'refused' });
    expect(at(begun.trip, { kind: 'give_up', by: system }, 120_000)).toMatchObject({ kind: 'moved' });
  });

  test('a driver who was never asked finds no trip', () => {
    const stranger: TripAction = {
      kind: 'accept',
      by: { actor: 'driver', id: second },
      name: 'Bình',
      averages,
    };
    expect(at(offered, stranger, 0)).toEqual({ kind: 'refused', code: 'trip.not_found' });
  });

  test('an accept that came through is repeated, not refused', () => {
    expect(at(moved(offered, accept, 5_000), accept, 6_000)).toEqual({ kind: 'repeated' });
  });

  test('a trip that the rider cancels during an offer tells whose offer it was', () => {
    const cancel: TripAction = {
      kind: 'cancel',
      by: { actor: 'rider', id: riderId },
      reason: 'changed my mind',
    };
    expect(at(offered, cancel, 1_000)).toMatchObject({ kind: 'moved', step: { offeredDriverId: first } });
  });
});
