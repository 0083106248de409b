import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import {
  createRiderWithCard,
  createTestPayment,
  createTripCompletedEvent,
  type TestPayment,
} from '@modules/payment/testing/harness.ts';
import type { Sql } from '@platform/postgres/database.ts';
import { until } from '@testing/until.ts';
import {
  findChargeViolations,
  findOvercharges,
  findPaymentViolations,
  findReleaseViolations,
} from './payments.ts';

let payment: TestPayment;
let sql: Sql;
let tripId: string;
beforeEach(async () => {
  payment = await createTestPayment();
  sql = payment.sql;
  const service = payment.createInstance();
  await service.start();
  const { riderId, paymentMethodId } = await createRiderWithCard(payment, service);
  const event = createTripCompletedEvent(payment, { riderId, paymentMethodId });
  ({ tripId } = event.data);
  await payment.bus.publish([event]);
  await until(async () => (await sql`select from payments where status = 'captured'`).length === 1);
  expect(await findPaymentViolations(sql, { nowMs: payment.clock.nowMs() })).toEqual([]);
  expect(await findChargeViolations(sql, [tripId])).toEqual([]);
});
afterEach(() => payment.close());

/** Makes a change that the triggers of the table would reject. */
async function withoutTriggers(table: string, change: () => PromiseLike<unknown>): Promise<void> {
  await sql.unsafe(`alter table ${table} disable trigger user`);
  await change();
}

describe('the payment invariants detect', () => {
  test('a transfer that does not sum to zero', async () => {
    await withoutTriggers(
      'entries',
      () => sql`update entries set amount_minor = amount_minor + 1 where account like 'driver:%'`,
    );
    expect((await findPaymentViolations(sql)).join('\n')).toMatch(/transfer .* sums to 1 VND/);
  });

  test('a balance that is not the sum of its entries', async () => {
    await sql`update account_balances set amount_minor = amount_minor - 5`;
    expect((await findPaymentViolations(sql)).join('\n')).toContain('has a balance of');
    await sql`delete from account_balances`;
    expect((await findPaymentViolations(sql)).join('\n')).toContain('has a balance of');
  });

  test('a second capture at the provider, and one without a payment', async () => {
    const again = (reference: string) => sql`
      insert into provider_charges (idempotency_key, label, operation, reference, ref, token, currency, amount_minor, outcome, at_ms)
      select ${payment.ids()}, 'again', operation, ${reference}, ${payment.ids()}, token, currency, amount_minor, outcome, at_ms
      from provider_charges where operation = 'capture' limit 1`;
    const [row] = await sql<{ id: string }[]>`select id from payments`;
    await again(row?.id ?? '');
    expect((await findPaymentViolations(sql)).join('\n')).toContain('has 2 capture(s)');
    await again(payment.ids());
    expect((await findPaymentViolations(sql)).join('\n')).toContain('belongs to no payment');
  });

  test('an authorisation that is still open after its payment has ended', async () => {
    await sql`
      insert into provider_charges (idempotency_key, label, operation, reference, ref, token, currency, amount_minor, outcome, at_ms)
      select ${payment.ids()}, 'again', operation, reference, ${payment.ids()}, token, currency, amount_minor, outcome, at_ms
      from provider_charges where operation = 'authorise'`;
    const later = { nowMs: payment.clock.nowMs() + 60_000 };
    expect((await findPaymentViolations(sql, later)).join('\n')).toContain('is still open');
  });

  test('a driver who was not credited', async () => {
    await withoutTriggers('entries', async () => {
      await sql`alter table transfers disable trigger user`;
      await sql`delete from entries using transfers t where t.id = transfer_id and t.kind = 'fare'`;
    });
    expect((await findPaymentViolations(sql)).join('\n')).toContain('driver 0, commission 0');
  });

  test('a trip that ended without being completed but was charged', async () => {
    expect(await findReleaseViolations(sql, [tripId])).toEqual([
      `trip ${tripId} ended without being completed, its payments are: captured`,
    ]);
  });

  test('a captured payment without its capture', async () => {
    await sql`delete from provider_charges where operation = 'capture'`;
    expect((await findPaymentViolations(sql)).join('\n')).toContain('has 0 capture(s)');
  });

  test('refunds on which payment, refund rows and provider disagree', async () => {
    await sql`update payments set refunded_minor = 7`;
    expect((await findPaymentViolations(sql)).join('\n')).toContain('7 refunded');
  });

  test('a history with a gap', async () => {
    await withoutTriggers('payment_history', () => sql`delete from payment_history where version = 2`);
    expect((await findPaymentViolations(sql)).join('\n')).toContain('its history has 2 rows');
  });

  test('a completed trip that was never charged', async () => {
    const other = payment.ids<string>();
    expect(await findChargeViolations(sql, [tripId, other])).toEqual([
      `trip ${other} is completed, its payments are: none at all`,
    ]);
  });

  test('a payment of more than the quote', async () => {
    const [row] = await sql<{ amount_minor: number }[]>`select amount_minor from payments`;
    const quotedMinor = Number(row?.amount_minor);
    expect(await findOvercharges(sql, new Map([[tripId, quotedMinor]]))).toEqual([]);
    expect(await findOvercharges(sql, new Map([[tripId, quotedMinor - 1]]))).toEqual([
      `trip ${tripId} was quoted at ${quotedMinor - 1} and costs ${quotedMinor}`,
    ]);
  });

  test('a receipt whose lines do not sum to its total', async () => {
    await sql`update payments set lines = '[{"kind":"base","amountMinor":1}]'`;
    expect((await findPaymentViolations(sql)).join()).toMatch(/its lines sum to 1$/);
  });

  test('a charge whose timer is overdue', async () => {
    await withoutTriggers('payment_history', async () => {
      await sql`update payments set status = 'authorised', timer_at_ms = ${payment.clock.nowMs()}, captured_at_ms = null`;
    });
    const later = { nowMs: payment.clock.nowMs() + 60_000 };
    expect((await findPaymentViolations(sql, later)).join('\n')).toContain(
      'its timer is overdue by 60000 ms',
    );
  });
});

describe('the tables reject', () => {
  const expectRejected = async (statement: PromiseLike<unknown>, message: RegExp | string) =>
    expect((async () => statement)()).rejects.toThrow(message);

  test('entries that do not sum to zero in each currency', async () => {
    const insert = (pairs: [string, string, number][]) => sql`
      with made as (
        insert into transfers (id, kind, payment_id, refund_id, at_ms)
        select ${payment.ids()}, 'refund', id, null, 1 from payments returning id)
      insert into entries (transfer_id, account, currency, amount_minor, at_ms)
      select made.id, e.account, e.currency, e.amount_minor, 1 from made,
        unnest(${pairs.map(([account]) => account)}::text[], ${pairs.map(([, currency]) => currency)}::text[],
               ${pairs.map(([, , amount]) => amount)}::bigint[]) as e (account, currency, amount_minor)`;
    await sql`alter table transfers drop constraint transfers_refund_is_named`;
    await expectRejected(
      insert([
        ['a', 'VND', 5],
        ['b', 'VND', -4],
      ]),
      'sum to zero',
    );
    await expectRejected(
      insert([
        ['a', 'VND', 5],
        ['b', 'USD', -5],
      ]),
      'sum to zero',
    );
    await insert([
      ['a', 'VND', 5],
      ['b', 'VND', -5],
    ]);
  });

  test('changes and deletions in the ledger', async () => {
    await expectRejected(sql`update entries set amount_minor = 1`, 'never change');
    await expectRejected(sql`delete from entries`, 'never change');
    await expectRejected(sql`delete from transfers`, 'never change');
    await expectRejected(sql`update payment_history set to_status = 'none'`, 'never change');
  });

  test('a second capture of a payment in the ledger', async () => {
    await expectRejected(
      sql`insert into transfers (id, kind, payment_id, at_ms) select ${payment.ids()}, 'capture', id, 1 from payments`,
      'transfers_one_capture',
    );
  });

  test('a charge in flight without a timer, and a timer on an ended charge', async () => {
    await expectRejected(sql`update payments set timer_at_ms = 1`, 'payments_pending_have_a_timer');
    await expectRejected(
      sql`update payments set status = 'authorised', captured_at_ms = null`,
      'payments_pending_have_a_timer',
    );
  });

  test('refunds beyond the payment', async () => {
    await expectRejected(sql`update payments set refunding_minor = amount_minor + 1`, 'payments_refunds_fit');
  });
});
