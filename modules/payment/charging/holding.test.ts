import { describe, expect, test } from 'bun:test';
import type { DomainEvent } from '@contracts/events.ts';
import { findChargeViolations, findReleaseViolations } from '@invariants/payments.ts';
import { Type } from '@sinclair/typebox';
import { serviceAuthHeaders } from '@testing/service-auth.ts';
import { until } from '@testing/until.ts';
import type { PaymentProvider } from '../provider/provider.ts';
import { advanceUntil, createRiderWithCard } from '../testing/harness.ts';
import type { PaymentInstance } from '../testing/instance.ts';
import { useTestPayment } from '../testing/setup.ts';
import { createTripEvents, type TripEvents } from '../testing/trip-events.ts';

const payment = useTestPayment({ checksTimers: true });

async function createStory(
  service: PaymentInstance,
  token = 'tok_visa',
  fareMinor = 64_000,
): Promise<TripEvents> {
  const { riderId, paymentMethodId } = await createRiderWithCard(payment, service, token);
  return createTripEvents(payment, {
    riderId,
    paymentMethodId,
    fare: { amountMinor: fareMinor, currency: 'VND' },
    fareLines: fareMinor === 0 ? [] : [{ kind: 'base', amountMinor: fareMinor }],
  });
}

/** The operations of the provider for a trip, in order: `authorise`, or `authorise declined`. */
async function operationsAtProvider({ tripId }: TripEvents): Promise<string[]> {
  const stored = await payment.findPayment(tripId);
  const records = stored === undefined ? [] : await payment.listProviderRecords(stored.id);
  return records.map(({ operation, outcome }) => (outcome === 'ok' ? operation : `${operation} ${outcome}`));
}

const publishedTypesOf = ({ tripId }: TripEvents) =>
  payment.publishedEvents.filter(({ data }) => data.tripId === tripId).map(({ type }) => type);

describe('a requested trip', () => {
  test('gets its fare authorised at once, before it has a driver, and nothing is captured', async () => {
    const story = await createStory(await payment.startInstance());
    await payment.bus.publish([story.requested]);
    expect(await until(payment.hasStatus(story.tripId, 'authorised'))).toMatchObject({
      intent: 'hold',
      driverId: null,
    });
    expect(await operationsAtProvider(story)).toEqual(['authorise']);
    await payment.clock.advance(3_600_000);
    expect(await operationsAtProvider(story)).toEqual(['authorise']);
    expect(await payment.sql`select from transfers`).toHaveLength(0);
  });

  test('that is completed is captured from that authorisation, and the capture is published', async () => {
    const story = await createStory(await payment.startInstance());
    await payment.bus.publish([story.requested]);
    await until(payment.hasStatus(story.tripId, 'authorised'));
    await payment.bus.publish([story.completed]);
    await until(payment.hasStatus(story.tripId, 'captured'));
    expect(await operationsAtProvider(story)).toEqual(['authorise', 'capture']);
    await until(() => publishedTypesOf(story).length === 1);
    expect(publishedTypesOf(story)).toEqual(['payment.captured.v1']);
  });

  for (const end of ['cancelled', 'unfulfilled'] as const) {
    test(`that is ${end} has its authorisation voided, and the void is published`, async () => {
      const story = await createStory(await payment.startInstance());
      await payment.bus.publish([story.requested]);
      await until(payment.hasStatus(story.tripId, 'authorised'));
      await payment.bus.publish([story[end]]);
      await until(payment.hasStatus(story.tripId, 'voided'));
      expect(await operationsAtProvider(story)).toEqual(['authorise', 'void']);
      await until(() => publishedTypesOf(story).length === 1);
      expect(publishedTypesOf(story)).toEqual(['payment.voided.v1']);
      expect(await findReleaseViolations(payment.sql, [story.tripId])).toEqual([]);
    });
  }

  test('whose card is declined publishes the reason once and nothing more', async () => {
    const story = await createStory(await payment.startInstance(), 'tok_declined');
    await payment.bus.publish([story.requested]);
    const { failureReason } = await until(payment.hasStatus(story.tripId, 'declined'));
    expect(failureReason).toBe('card_declined');
    await until(() => publishedTypesOf(story).length === 1);
    await payment.bus.publish([story.cancelled]);
    await until(async () => (await payment.findPayment(story.tripId))?.intent === 'void');
    expect(await findReleaseViolations(payment.sql, [story.tripId])).toEqual([]);
    expect(publishedTypesOf(story)).toEqual(['payment.declined.v1']);
  });

  test('whose card was declined but that was completed nevertheless credits the driver and is owed', async () => {
    const story = await createStory(await payment.startInstance(), 'tok_declined');
    await payment.bus.publish([story.requested]);
    await until(payment.hasStatus(story.tripId, 'declined'));
    await payment.bus.publish([story.completed]);
    await until(payment.hasStatus(story.tripId, 'failed'));
    expect(await operationsAtProvider(story)).toEqual(['authorise declined', 'authorise declined']);
    const [balance] = await payment.sql<{ amountMinor: number }[]>`
      select amount_minor as "amountMinor" from account_balances
      where account = ${`driver:${story.completed.data.driverId}`}`;
    expect(Number(balance?.amountMinor)).toBe(51_200);
    await until(() => publishedTypesOf(story).length === 2);
    expect(publishedTypesOf(story)).toEqual(['payment.declined.v1', 'payment.failed.v1']);
  });
});

describe('an authorisation in flight when the trip ends', () => {
  /** Loses the answer to the authorisation, and hides it from the list until `isShown`. */
  function hiddenAuthorisation() {
    const hidden = { isShown: false };
    const provider = (real: PaymentProvider): PaymentProvider => ({
      ...real,
      async authorise(request) {
        await real.authorise(request);
        return { kind: 'unknown' };
      },
      list: async (reference) => (hidden.isShown ? real.list(reference) : []),
    });
    return { hidden, provider };
  }

  test('is voided once it is listed, and does not count as absent while it may still arrive', async () => {
    const { hidden, provider: wrapProvider } = hiddenAuthorisation();
    const story = await createStory(await payment.startInstance({ wrapProvider }));
    await payment.bus.publish([story.requested]);
    await until(async () => (await operationsAtProvider(story)).length === 1);
    await payment.bus.publish([story.cancelled]);
    await until(async () => (await payment.findPayment(story.tripId))?.intent === 'void');
    await payment.clock.advance(4_000);
    expect((await payment.findPayment(story.tripId))?.status).toBe('none');
    hidden.isShown = true;
    await advanceUntil(payment.clock, payment.hasStatus(story.tripId, 'voided'), 'the release');
    expect(await operationsAtProvider(story)).toEqual(['authorise', 'void']);
  });

  test('that was never made leaves nothing to void', async () => {
    const service = await payment.startInstance({
      wrapProvider: (real) => ({ ...real, authorise: async () => ({ kind: 'unknown' }) }),
    });
    const story = await createStory(service);
    await payment.bus.publish([story.requested]);
    await until(async () => (await payment.findPayment(story.tripId))?.status === 'none');
    await payment.bus.publish([story.cancelled]);
    await advanceUntil(payment.clock, payment.hasStatus(story.tripId, 'voided'), 'the end');
    expect(await operationsAtProvider(story)).toEqual([]);
    expect(publishedTypesOf(story)).toEqual([]);
  });
});

describe('a fare of zero', () => {
  test('is captured without a call to the provider and without a ledger entry', async () => {
    const story = await createStory(await payment.startInstance(), 'tok_declined', 0);
    await payment.bus.publish([story.completed]);
    await until(payment.hasStatus(story.tripId, 'captured'));
    expect(await operationsAtProvider(story)).toEqual([]);
    expect(await payment.sql`select from transfers`).toHaveLength(0);
    expect(await findChargeViolations(payment.sql, [story.tripId])).toEqual([]);
  });

  test('of a trip that is cancelled is voided without a call to the provider', async () => {
    const story = await createStory(await payment.startInstance(), 'tok_visa', 0);
    await payment.bus.publish([story.requested]);
    await until(payment.hasStatus(story.tripId, 'authorised'));
    await payment.bus.publish([story.cancelled]);
    await until(payment.hasStatus(story.tripId, 'voided'));
    expect(await operationsAtProvider(story)).toEqual([]);
  });

  test('at the end of a trip that was authorised for more voids the authorisation', async () => {
    const story = await createStory(await payment.startInstance());
    await payment.bus.publish([story.requested]);
    await until(payment.hasStatus(story.tripId, 'authorised'));
    const { completed } = story;
    const fare = { amountMinor: 0, currency: 'VND' } as const;
    await payment.bus.publish([{ ...completed, data: { ...completed.data, fare, fareLines: [] } }]);
    await until(payment.hasStatus(story.tripId, 'captured'));
    await until(async () => (await operationsAtProvider(story)).includes('void'));
    expect(await operationsAtProvider(story)).toEqual(['authorise', 'void']);
    await until(async () => (await payment.sql`select from reversals where status = 'done'`).length === 1);
  });
});

test('a fare above the authorised amount is authorised again in full', async () => {
  const story = await createStory(await payment.startInstance());
  await payment.bus.publish([story.requested]);
  await until(payment.hasStatus(story.tripId, 'authorised'));
  const { completed } = story;
  const fare = { amountMinor: 70_000, currency: 'VND' } as const;
  const fareLines = [{ kind: 'base' as const, amountMinor: 70_000 }];
  await payment.bus.publish([{ ...completed, data: { ...completed.data, fare, fareLines } }]);
  await until(payment.hasStatus(story.tripId, 'captured'));
  await until(async () => (await operationsAtProvider(story)).length === 4);
  expect((await operationsAtProvider(story)).sort()).toEqual(['authorise', 'authorise', 'capture', 'void']);
  await until(async () => (await payment.sql`select from reversals where status = 'done'`).length === 1);
});

test('the authorisation state is returned as soon as it is known, and is pending after the wait', async () => {
  let isAnswering = false;
  const service = await payment.startInstance({
    settings: { PAYMENT_RETRY_MS: '100', PAYMENT_RETRY_SECONDS_MAX: '1' },
    wrapProvider: (real) => ({
      ...real,
      authorise: async (request) => (isAnswering ? real.authorise(request) : { kind: 'unknown' }),
    }),
  });
  const stateOf = async ({ tripId }: TripEvents, withinMs: number) => {
    const path = `/internal/payment/authorisations/${tripId}?withinMs=${withinMs}`;
    const answer = await service.send('GET', path, { headers: serviceAuthHeaders('payment', payment.clock) });
    return answer.as(Type.Object({ state: Type.String() })).state;
  };
  const story = await createStory(service);
  expect(await stateOf(story, 0)).toBe('pending');
  await payment.bus.publish([story.requested]);
  await until(async () => (await payment.findPayment(story.tripId))?.status === 'none');
  let waited: string | undefined;
  void stateOf(story, 400).then((state) => {
    waited = state;
  });
  expect(await advanceUntil(payment.clock, () => waited, 'the wait to end')).toBe('pending');
  isAnswering = true;
  let answered: string | undefined;
  void stateOf(story, 2_000).then((state) => {
    answered = state;
  });
  expect(await advanceUntil(payment.clock, () => answered, 'the answer')).toBe('authorised');
  const declined = await createStory(service, 'tok_declined');
  await payment.bus.publish([declined.requested]);
  await until(payment.hasStatus(declined.tripId, 'declined'));
  expect(await stateOf(declined, 2_000)).toBe('declined');
});

describe('when the events of a trip come in any order, each of them twice,', () => {
  const orders = <T>(items: readonly T[]): T[][] =>
    items.length < 2
      ? [[...items]]
      : items.flatMap((item, at) =>
          orders([...items.slice(0, at), ...items.slice(at + 1)]).map((rest) => [item, ...rest]),
        );

  for (const [end, status, operations] of [
    ['completed', 'captured', ['authorise', 'capture']],
    ['cancelled', 'voided', ['authorise', 'void']],
    ['unfulfilled', 'voided', ['authorise', 'void']],
  ] as const) {
    test(`requested and ${end} end as ${status} once`, async () => {
      const service = await payment.startInstance();
      for (const order of orders(['requested', 'requested', end, end] as const)) {
        const story = await createStory(service, 'tok_visa');
        for (const step of order) {
          const event: DomainEvent = step === 'requested' ? story.requested : story[end];
          await payment.bus.publish([event]);
        }
        await advanceUntil(
          payment.clock,
          payment.hasStatus(story.tripId, status),
          `${order.join(', ')} to end`,
        );
        const done = await operationsAtProvider(story);
        // If the end of the trip comes first, nothing is authorised.
        if (end === 'completed' || done.length > 0) expect(done).toEqual([...operations]);
        const rows = await payment.sql`select from payments where trip_id = ${story.tripId}`;
        expect(rows).toHaveLength(1);
      }
    });
  }

  test('an older intent never replaces a newer one', async () => {
    const story = await createStory(await payment.startInstance());
    await payment.bus.publish([story.cancelled]);
    await until(payment.hasStatus(story.tripId, 'voided'));
    await payment.bus.publish([story.requested]);
    await until(async () => (await payment.sql`select from inbox`).length === 2);
    expect(await payment.findPayment(story.tripId)).toMatchObject({ status: 'voided', intent: 'void' });
    expect(await operationsAtProvider(story)).toEqual([]);
  });
});
