import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { DomainEvent } from '@contracts/events.ts';
import { findChargeViolations, findPaymentViolations, findReleaseViolations } from '@invariants/payments.ts';
import { Type } from '@sinclair/typebox';
import { serviceAuthHeaders } from '@testing/service-auth.ts';
import { until } from '@testing/until.ts';
import type { PaymentProvider } from '../provider/provider.ts';
import {
  advanceUntil,
  createRiderWithCard,
  createTestPayment,
  type PaymentInstance,
  type TestPayment,
} from '../testing/harness.ts';
import { createTripEvents, type TripEvents } from '../testing/trip-events.ts';

let payment: TestPayment;
beforeEach(async () => {
  payment = await createTestPayment();
});
afterEach(async () => {
  expect(await findPaymentViolations(payment.sql, { nowMs: payment.clock.nowMs() })).toEqual([]);
  await payment.close();
});

async function startOne(
  options: Parameters<TestPayment['createInstance']>[0] = {},
): Promise<PaymentInstance> {
  const service = payment.createInstance(options);
  await service.start();
  return service;
}

async function storyOf(
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

const rowOf = async ({ tripId }: TripEvents) => {
  const [row] = await payment.sql<
    { id: string; status: string; intent: string; driverId: string | null; failureReason: string | null }[]
  >`
    select id, status, intent, driver_id as "driverId", failure_reason as "failureReason" from payments
    where trip_id = ${tripId}`;
  return row;
};

const inState = (story: TripEvents, status: string) => async () => {
  const row = await rowOf(story);
  return row?.status === status ? row : undefined;
};

/** The operations of the provider for a trip, in order: `authorise`, or `authorise declined`. */
async function atProvider({ tripId }: TripEvents): Promise<string[]> {
  const rows = await payment.sql<{ said: string }[]>`
    select c.operation || case c.outcome when 'ok' then '' else ' declined' end as said
    from provider_charges c join payments p on p.id::text = c.reference
    where p.trip_id = ${tripId} order by c.at_ms, c.ref`;
  return rows.map(({ said }) => said);
}

const toldOf = ({ tripId }: TripEvents) =>
  payment.publishedEvents.filter(({ data }) => data.tripId === tripId).map(({ type }) => type);

describe('a requested trip', () => {
  test('gets its fare authorised at once, before it has a driver, and nothing is captured', async () => {
    const story = await storyOf(await startOne());
    await payment.bus.publish([story.requested]);
    expect(await until(inState(story, 'authorised'))).toMatchObject({ intent: 'hold', driverId: null });
    expect(await atProvider(story)).toEqual(['authorise']);
    await payment.clock.advance(3_600_000);
    expect(await atProvider(story)).toEqual(['authorise']);
    expect(await payment.sql`select from transfers`).toHaveLength(0);
  });

  test('that is completed is captured from that authorisation, and the capture is published', async () => {
    const story = await storyOf(await startOne());
    await payment.bus.publish([story.requested]);
    await until(inState(story, 'authorised'));
    await payment.bus.publish([story.completed]);
    await until(inState(story, 'captured'));
    expect(await atProvider(story)).toEqual(['authorise', 'capture']);
    await until(() => toldOf(story).length === 1);
    expect(toldOf(story)).toEqual(['payment.captured.v1']);
  });

  for (const end of ['cancelled', 'unfulfilled'] as const) {
    test(`that is ${end} has its authorisation voided, and the void is published`, async () => {
      const story = await storyOf(await startOne());
      await payment.bus.publish([story.requested]);
      await until(inState(story, 'authorised'));
      await payment.bus.publish([story[end]]);
      await until(inState(story, 'voided'));
      expect(await atProvider(story)).toEqual(['authorise', 'void']);
      await until(() => toldOf(story).length === 1);
      expect(toldOf(story)).toEqual(['payment.voided.v1']);
      expect(await findReleaseViolations(payment.sql, [story.tripId])).toEqual([]);
    });
  }

  test('whose card is declined publishes the reason once and nothing more', async () => {
    const story = await storyOf(await startOne(), 'tok_declined');
    await payment.bus.publish([story.requested]);
    const { failureReason } = await until(inState(story, 'declined'));
    expect(failureReason).toBe('card_declined');
    await until(() => toldOf(story).length === 1);
    await payment.bus.publish([story.cancelled]);
    await until(async () => (await rowOf(story))?.intent === 'void');
    expect(await findReleaseViolations(payment.sql, [story.tripId])).toEqual([]);
    expect(toldOf(story)).toEqual(['payment.declined.v1']);
  });

  test('whose card was declined but that was completed nevertheless credits the driver and is owed', async () => {
    const story = await storyOf(await startOne(), 'tok_declined');
    await payment.bus.publish([story.requested]);
    await until(inState(story, 'declined'));
    await payment.bus.publish([story.completed]);
    await until(inState(story, 'failed'));
    expect(await atProvider(story)).toEqual(['authorise declined', 'authorise declined']);
    const [balance] = await payment.sql<{ amountMinor: number }[]>`
      select amount_minor as "amountMinor" from account_balances
      where account = ${`driver:${story.completed.data.driverId}`}`;
    expect(Number(balance?.amountMinor)).toBe(51_200);
    await until(() => toldOf(story).length === 2);
    expect(toldOf(story)).toEqual(['payment.declined.v1', 'payment.failed.v1']);
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
    const story = await storyOf(await startOne({ wrapProvider }));
    await payment.bus.publish([story.requested]);
    await until(async () => (await atProvider(story)).length === 1);
    await payment.bus.publish([story.cancelled]);
    await until(async () => (await rowOf(story))?.intent === 'void');
    await payment.clock.advance(4_000);
    expect((await rowOf(story))?.status).toBe('none');
    hidden.isShown = true;
    await advanceUntil(payment.clock, inState(story, 'voided'), 'the release');
    expect(await atProvider(story)).toEqual(['authorise', 'void']);
  });

  test('that was never made leaves nothing to void', async () => {
    const service = await startOne({
      wrapProvider: (real) => ({ ...real, authorise: async () => ({ kind: 'unknown' }) }),
    });
    const story = await storyOf(service);
    await payment.bus.publish([story.requested]);
    await until(async () => (await rowOf(story))?.status === 'none');
    await payment.bus.publish([story.cancelled]);
    await advanceUntil(payment.clock, inState(story, 'voided'), 'the end');
    expect(await atProvider(story)).toEqual([]);
    expect(toldOf(story)).toEqual([]);
  });
});

describe('a fare of zero', () => {
  test('is captured without a call to the provider and without a ledger entry', async () => {
    const story = await storyOf(await startOne(), 'tok_declined', 0);
    await payment.bus.publish([story.completed]);
    await until(inState(story, 'captured'));
    expect(await atProvider(story)).toEqual([]);
    expect(await payment.sql`select from transfers`).toHaveLength(0);
    expect(await findChargeViolations(payment.sql, [story.tripId])).toEqual([]);
  });

  test('of a trip that is cancelled is voided without a call to the provider', async () => {
    const story = await storyOf(await startOne(), 'tok_visa', 0);
    await payment.bus.publish([story.requested]);
    await until(inState(story, 'authorised'));
    await payment.bus.publish([story.cancelled]);
    await until(inState(story, 'voided'));
    expect(await atProvider(story)).toEqual([]);
  });

  test('at the end of a trip that was authorised for more voids the authorisation', async () => {
    const story = await storyOf(await startOne());
    await payment.bus.publish([story.requested]);
    await until(inState(story, 'authorised'));
    const { completed } = story;
    const fare = { amountMinor: 0, currency: 'VND' } as const;
    await payment.bus.publish([{ ...completed, data: { ...completed.data, fare, fareLines: [] } }]);
    await until(inState(story, 'captured'));
    await until(async () => (await atProvider(story)).includes('void'));
    expect(await atProvider(story)).toEqual(['authorise', 'void']);
    await until(async () => (await payment.sql`select from reversals where status = 'done'`).length === 1);
  });
});

test('a fare above the authorised amount is authorised again in full', async () => {
  const story = await storyOf(await startOne());
  await payment.bus.publish([story.requested]);
  await until(inState(story, 'authorised'));
  const { completed } = story;
  const fare = { amountMinor: 70_000, currency: 'VND' } as const;
  const fareLines = [{ kind: 'base' as const, amountMinor: 70_000 }];
  await payment.bus.publish([{ ...completed, data: { ...completed.data, fare, fareLines } }]);
  await until(inState(story, 'captured'));
  await until(async () => (await atProvider(story)).length === 4);
  expect((await atProvider(story)).sort()).toEqual(['authorise', 'authorise', 'capture', 'void']);
  await until(async () => (await payment.sql`select from reversals where status = 'done'`).length === 1);
});

test('the authorisation state is returned as soon as it is known, and is pending after the wait', async () => {
  let isAnswering = false;
  const service = await startOne({
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
  const story = await storyOf(service);
  expect(await stateOf(story, 0)).toBe('pending');
  await payment.bus.publish([story.requested]);
  await until(async () => (await rowOf(story))?.status === 'none');
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
  const declined = await storyOf(service, 'tok_declined');
  await payment.bus.publish([declined.requested]);
  await until(inState(declined, 'declined'));
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
      const service = await startOne();
      for (const order of orders(['requested', 'requested', end, end] as const)) {
        const story = await storyOf(service, 'tok_visa');
        for (const step of order) {
          const event: DomainEvent = step === 'requested' ? story.requested : story[end];
          await payment.bus.publish([event]);
        }
        await advanceUntil(payment.clock, inState(story, status), `${order.join(', ')} to end`);
        const done = await atProvider(story);
        // If the end of the trip comes first, nothing is authorised.
        if (end === 'completed' || done.length > 0) expect(done).toEqual([...operations]);
        const rows = await payment.sql`select from payments where trip_id = ${story.tripId}`;
        expect(rows).toHaveLength(1);
      }
    });
  }

  test('an older intent never replaces a newer one', async () => {
    const story = await storyOf(await startOne());
    await payment.bus.publish([story.cancelled]);
    await until(inState(story, 'voided'));
    await payment.bus.publish([story.requested]);
    await until(async () => (await payment.sql`select from inbox`).length === 2);
    expect(await rowOf(story)).toMatchObject({ status: 'voided', intent: 'void' });
    expect(await atProvider(story)).toEqual([]);
  });
});
