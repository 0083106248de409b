import { describe, expect, test } from 'bun:test';
import type { TripId } from '@contracts/ids.ts';
import { Type } from '@sinclair/typebox';
import { until } from '@testing/until.ts';
import type { PaymentProvider, ProviderAnswer, ProviderNotice } from '../provider/provider.ts';
import { advanceUntil, createRiderWithCard } from '../testing/harness.ts';
import { useTestPayment } from '../testing/setup.ts';
import { createTripEvents } from '../testing/trip-events.ts';

const payment = useTestPayment({ checksTimers: true });

type Step = 'authorise' | 'capture' | 'refund' | 'void';

/** A rider with a card on an instance whose provider is wrapped, and the events of one trip. */
async function startTrip(wrapProvider: (real: PaymentProvider) => PaymentProvider) {
  const service = await payment.startInstance({ wrapProvider });
  return createTripEvents(payment, await createRiderWithCard(payment, service));
}

/**
 * A provider that loses the calls of one step; `arrive` delivers the first lost call and reports its answer
 * as a notice.
 */
function losing(step: Step) {
  let isLosing = true;
  const lost: { act: () => Promise<ProviderAnswer>; idempotencyKey: string; reference: string }[] = [];
  const listeners: ((notice: ProviderNotice) => Promise<void>)[] = [];
  const wrap = (real: PaymentProvider): PaymentProvider => {
    const through =
      <Request extends { idempotencyKey: string; reference: string }>(
        name: Step,
        call: (request: Request) => Promise<ProviderAnswer>,
      ) =>
      async (request: Request): Promise<ProviderAnswer> => {
        if (name !== step || !isLosing) return call(request);
        lost.push({ act: () => call(request), ...request });
        return { kind: 'unknown' };
      };
    return {
      ...real,
      authorise: through('authorise', real.authorise),
      capture: through('capture', real.capture),
      refund: through('refund', real.refund),
      void: through('void', real.void),
      onNotice(listener) {
        listeners.push(listener);
        real.onNotice(listener);
      },
    };
  };
  return {
    wrap,
    stop: () => {
      isLosing = false;
    },
    async arrive(): Promise<void> {
      const [first] = lost;
      if (first === undefined) throw new Error('nothing was lost');
      const { idempotencyKey, reference } = first;
      const answer = await first.act();
      for (const listener of listeners) await listener({ idempotencyKey, reference, answer });
    },
  };
}

/** The operations that the provider has done for the payment of a trip. */
async function operationsOf(tripId: TripId): Promise<string[]> {
  const stored = await payment.findPayment(tripId);
  const records = stored === undefined ? [] : await payment.listProviderRecords(stored.id);
  return records.flatMap(({ operation, outcome }) => (outcome === 'ok' ? [operation] : [])).sort();
}
const idOf = async (tripId: TripId) => (await payment.findPayment(tripId))?.id ?? '';
const isReversedOnce = async () =>
  (await payment.sql`select from reversals where status = 'done'`).length === 1 &&
  (await payment.sql`select from reversals`).length === 1;

const quick = { PAYMENT_ATTEMPTS_MAX: '3', PAYMENT_RETRY_SECONDS_MAX: '600' };

describe('when an answer comes after the payment was given up,', () => {
  test('a capture of a debt is accepted and the debt is paid', async () => {
    const provider = losing('capture');
    const service = await payment.startInstance({ settings: quick, wrapProvider: provider.wrap });
    const rider = await createRiderWithCard(payment, service);
    const { completed, tripId } = createTripEvents(payment, rider);
    await payment.bus.publish([completed]);
    await advanceUntil(payment.clock, payment.hasStatus(tripId, 'failed'), 'the attempts to end');
    await provider.arrive();
    expect(await payment.findPayment(tripId)).toMatchObject({ status: 'captured' });
    expect(await operationsOf(tripId)).toEqual(['authorise', 'capture']);
    await provider.arrive();
    await until(() => payment.publishedEvents.length === 2);
    expect(payment.publishedEvents.map(({ type }) => type)).toEqual([
      'payment.failed.v1',
      'payment.captured.v1',
    ]);
  });

  test('a capture of a debt that another card has paid is refunded once, however often it is reported', async () => {
    const provider = losing('capture');
    const service = await payment.startInstance({
      settings: quick,
      wrapProvider: (real) => {
        const wrapped = provider.wrap(real);
        // The void of the first authorisation is lost, so that its capture can still arrive.
        return { ...wrapped, void: async () => ({ kind: 'unknown' }) };
      },
    });
    const rider = await createRiderWithCard(payment, service);
    const { completed, tripId } = createTripEvents(payment, rider);
    await payment.bus.publish([completed]);
    await advanceUntil(payment.clock, payment.hasStatus(tripId, 'failed'), 'the attempts to end');
    provider.stop();
    const id = await idOf(tripId);
    const card = await service.send('POST', '/v1/payment-methods', {
      body: { kind: 'card', token: 'tok_mastercard' },
      headers: rider.bearer,
    });
    const { id: paymentMethodId } = card.as(Type.Object({ id: Type.String() }));
    const paid = await service.send('POST', `/v1/payments/${id}/pay`, {
      body: { paymentMethodId },
      headers: rider.bearer,
    });
    expect(paid.as(Type.Object({ status: Type.String() })).status).toBe('captured');
    await provider.arrive();
    await provider.arrive();
    await until(
      async () =>
        (await payment.sql`select from reversals where kind = 'refund' and status = 'done'`).length === 1,
    );
    expect((await operationsOf(tripId)).filter((operation) => operation === 'capture')).toHaveLength(2);
    expect((await operationsOf(tripId)).filter((operation) => operation === 'refund')).toHaveLength(1);
    // Nothing is left to void: the provider would decline to void a captured authorisation.
    await payment.sql`update reversals set status = 'refused', timer_at_ms = null where kind = 'void'`;
  });

  test('an authorisation of a completed trip is captured', async () => {
    const provider = losing('authorise');
    const service = await payment.startInstance({ settings: quick, wrapProvider: provider.wrap });
    const rider = await createRiderWithCard(payment, service);
    const { completed, tripId } = createTripEvents(payment, rider);
    await payment.bus.publish([completed]);
    await advanceUntil(payment.clock, payment.hasStatus(tripId, 'failed'), 'the attempts to end');
    await provider.arrive();
    await until(payment.hasStatus(tripId, 'captured'));
    expect(await operationsOf(tripId)).toEqual(['authorise', 'capture']);
  });

  test('an authorisation of a cancelled trip is voided', async () => {
    const provider = losing('authorise');
    const service = await payment.startInstance({ settings: quick, wrapProvider: provider.wrap });
    const rider = await createRiderWithCard(payment, service);
    const { requested, cancelled, tripId } = createTripEvents(payment, rider);
    await payment.bus.publish([requested]);
    await until(payment.hasStatus(tripId, 'none'));
    await payment.bus.publish([cancelled]);
    await advanceUntil(payment.clock, payment.hasStatus(tripId, 'voided'), 'the end');
    await provider.arrive();
    await provider.arrive();
    await until(isReversedOnce);
    expect(await operationsOf(tripId)).toEqual(['authorise', 'void']);
  });

  test('the late result of the call itself counts like a notice', async () => {
    const arrived = Promise.withResolvers<void>();
    // Found by the simulation with seed 58: a paused process sent its call after its trip had ended.
    const slow = (real: PaymentProvider): PaymentProvider => ({
      ...real,
      async authorise(request) {
        await arrived.promise;
        return real.authorise(request);
      },
    });
    const service = await payment.startInstance({ settings: quick, wrapProvider: slow });
    const rider = await createRiderWithCard(payment, service);
    const { requested, cancelled, tripId } = createTripEvents(payment, rider);
    await payment.bus.publish([requested]);
    await until(payment.hasStatus(tripId, 'none'));
    await payment.bus.publish([cancelled]);
    await advanceUntil(payment.clock, payment.hasStatus(tripId, 'voided'), 'the end');
    arrived.resolve();
    await advanceUntil(payment.clock, isReversedOnce, 'the release of what was authorised late');
    expect(await operationsOf(tripId)).toEqual(['authorise', 'void']);
  });
});

describe('a key older than 23 hours is looked up in the list of the provider and never sent again, for', () => {
  const dayMs = 24 * 3_600_000;

  /** Like `losing`, but the calls reach the provider, and only the answers and the list are lost. */
  function losingAnswers(step: Step) {
    let isLosing = true;
    const sent: string[] = [];
    const wrap = (real: PaymentProvider): PaymentProvider => {
      const through =
        <Request extends { idempotencyKey: string }>(
          name: Step,
          call: (request: Request) => Promise<ProviderAnswer>,
        ) =>
        async (request: Request): Promise<ProviderAnswer> => {
          if (name !== step) return call(request);
          sent.push(request.idempotencyKey);
          const answer = await call(request);
          return isLosing ? { kind: 'unknown' } : answer;
        };
      return {
        ...real,
        authorise: through('authorise', real.authorise),
        capture: through('capture', real.capture),
        refund: through('refund', real.refund),
        void: through('void', real.void),
        list: async (reference) => {
          if (isLosing) throw new Error('simulated loss of the list');
          return real.list(reference);
        },
      };
    };
    return {
      wrap,
      sent,
      restore: () => {
        isLosing = false;
      },
    };
  }

  test('a capture', async () => {
    const provider = losingAnswers('capture');
    const { completed, tripId } = await startTrip(provider.wrap);
    await payment.bus.publish([completed]);
    await until(() => provider.sent.length > 0);
    await payment.clock.advance(dayMs);
    const sentBefore = provider.sent.length;
    provider.restore();
    await advanceUntil(payment.clock, payment.hasStatus(tripId, 'captured'), 'the capture');
    expect(provider.sent.length).toBe(sentBefore);
    expect(await operationsOf(tripId)).toEqual(['authorise', 'capture']);
  });

  test('a void', async () => {
    const provider = losingAnswers('void');
    const { requested, cancelled, tripId } = await startTrip(provider.wrap);
    await payment.bus.publish([requested]);
    await until(payment.hasStatus(tripId, 'authorised'));
    await payment.bus.publish([cancelled]);
    await until(() => provider.sent.length > 0);
    await payment.clock.advance(dayMs);
    const sentBefore = provider.sent.length;
    provider.restore();
    await advanceUntil(payment.clock, payment.hasStatus(tripId, 'voided'), 'the release');
    expect(provider.sent.length).toBe(sentBefore);
  });

  test('an authorisation', async () => {
    const provider = losingAnswers('authorise');
    const { requested, tripId } = await startTrip(provider.wrap);
    await payment.bus.publish([requested]);
    await until(() => provider.sent.length > 0);
    await payment.clock.advance(dayMs);
    const sentBefore = provider.sent.length;
    provider.restore();
    await advanceUntil(payment.clock, payment.hasStatus(tripId, 'authorised'), 'the authorisation');
    expect(provider.sent.length).toBe(sentBefore);
    expect(await operationsOf(tripId)).toEqual(['authorise']);
  });

  test('a refund, which is not repeated', async () => {
    const provider = losingAnswers('refund');
    const service = await payment.startInstance({ wrapProvider: provider.wrap });
    provider.restore();
    const rider = await createRiderWithCard(payment, service);
    const { completed, tripId } = createTripEvents(payment, rider);
    await payment.bus.publish([completed]);
    await until(payment.hasStatus(tripId, 'captured'));
    const id = await idOf(tripId);
    const cut = losingAnswers('refund');
    await service.stop();
    const other = await payment.startInstance({ wrapProvider: cut.wrap });
    const ops = payment.tokens.bearer(payment.ids(), 'ops');
    const refund = await other.send('POST', `/v1/payments/${id}/refunds`, {
      body: { reason: 'complaint' },
      headers: ops,
    });
    expect(refund.status).toBe(201);
    await payment.clock.advance(dayMs);
    const sentBefore = cut.sent.length;
    cut.restore();
    await advanceUntil(payment.clock, payment.hasStatus(tripId, 'refunded'), 'the refund');
    expect(cut.sent.length).toBe(sentBefore);
    expect(await operationsOf(tripId)).toEqual(['authorise', 'capture', 'refund']);
  });

  test('a capture that is not listed, which is retried under a new key', async () => {
    const provider = losing('capture');
    const keys = new Set<string>();
    const service = await payment.startInstance({
      wrapProvider: (real) => {
        const wrapped = provider.wrap(real);
        return {
          ...wrapped,
          capture: (request) => {
            keys.add(request.idempotencyKey);
            return wrapped.capture(request);
          },
        };
      },
    });
    const rider = await createRiderWithCard(payment, service);
    const { completed, tripId } = createTripEvents(payment, rider);
    await payment.bus.publish([completed]);
    await until(() => keys.size === 1);
    await payment.clock.advance(dayMs);
    provider.stop();
    await advanceUntil(payment.clock, payment.hasStatus(tripId, 'captured'), 'the capture');
    const id = await idOf(tripId);
    expect([...keys]).toEqual([`${id}:capture`, `${id}:capture:2`]);
  });
});

test('the simulated provider forgets keys after a day, and a key that is sent again acts again', async () => {
  let real: PaymentProvider | undefined;
  await payment.startInstance({
    wrapProvider: (simulated) => {
      real = simulated;
      return simulated;
    },
  });
  if (real === undefined) throw new Error('no provider');
  const request = {
    idempotencyKey: payment.ids<string>(),
    reference: payment.ids<string>(),
    amount: { amountMinor: 1, currency: 'VND' as const },
    token: 'tok_visa',
  };
  const [first, again] = [await real.authorise(request), await real.authorise(request)];
  expect(again).toEqual(first);
  await payment.clock.advance(24 * 3_600_000);
  const late = await real.authorise(request);
  expect(late).not.toEqual(first);
  expect(await real.list(request.reference)).toHaveLength(2);
  await payment.sql`delete from provider_charges where reference = ${request.reference}`;
});
