import { afterAll, beforeAll, expect, test } from 'bun:test';
import type {
  DriverId,
  PaymentId,
  PaymentMethodId,
  PersonId,
  QuoteId,
  RefundId,
  RiderId,
  TripId,
} from '@contracts/ids.ts';
import { createReadConsistencyToken } from '@platform/postgres/read-consistency.ts';
import { createPlannedDatabase, type PlannedDatabase } from '@testing/query-plans.ts';
import { driverAccountOf } from '../ledger/transfers.ts';
import { createTestPayment, type TestPayment } from '../testing/harness.ts';
import { createPaymentStore, type PaymentStore } from './store.ts';

let payment: TestPayment;
let planned: PlannedDatabase;
let store: PaymentStore;
beforeAll(async () => {
  payment = await createTestPayment();
  await fill(payment);
  planned = createPlannedDatabase(payment.databaseUrl, 'payment');
  store = createPaymentStore(planned.database);
}, 30_000);
afterAll(async () => {
  await planned.close();
  await payment.close();
}, 30_000);

const payments = 10_000;
const inFlight = 50;
const idOf = <Id>(kind: number, n: number) =>
  `0000000${kind}-0000-7000-8000-${String(n).padStart(12, '0')}` as Id;
const sqlId = (kind: number, n: string) =>
  `('0000000${kind}-0000-7000-8000-' || lpad((${n})::text, 12, '0'))::uuid`;
const paymentId = idOf<PaymentId>(1, 777);
const riderId = idOf<RiderId>(2, 900);
const driverId = idOf<DriverId>(3, 400);

/** Inserts 10,000 payments of 1,000 riders with two cards each and 500 drivers; 50 payments are in flight. */
async function fill({ sql, clock }: TestPayment): Promise<void> {
  const nowMs = clock.nowMs();
  await sql.unsafe(`
    insert into payment_methods (id, rider_id, kind, token, label, created_at_ms)
    select ${sqlId(4, 'n')}, ${sqlId(2, 'n % 1000')}, 'card', 'tok_visa', 'Visa', ${nowMs} - n
    from generate_series(1, 2000) as n`);
  await sql.unsafe(`
    insert into quotes (id, rider_id, product, pickup_lat, pickup_lng, dropoff_lat, dropoff_lng, distance_metres,
                        duration_seconds, currency, fare_minor, lines, payment_method_id, created_at_ms, expires_at_ms)
    select ${sqlId(5, 'n')}, ${sqlId(2, 'n % 1000')}, 'car', 10, 106, 10, 106, 1, 1, 'VND', 1, '[]',
           ${sqlId(4, 'n % 2000 + 1')}, ${nowMs}, ${nowMs} - 5000 + n
    from generate_series(1, 5000) as n`);
  await sql.unsafe(`
    insert into payments (id, trip_id, rider_id, driver_id, payment_method_id, intent, status, version, currency, amount_minor,
                          commission_minor, product, distance_metres, duration_seconds, lines, completed_at_ms,
                          captured_at_ms, capture_ref, timer_at_ms, created_at_ms, updated_at_ms)
    select ${sqlId(1, 'n')}, ${sqlId(6, 'n')}, ${sqlId(2, 'n % 1000')}, ${sqlId(3, 'n % 500')}, ${sqlId(4, 'n % 2000 + 1')}, 'charge',
           case when n <= ${inFlight} then 'none' else 'captured' end, 1, 'VND', 100, 20, 'car', 1, 1, '[]', ${nowMs},
           case when n > ${inFlight} then ${nowMs} end, case when n > ${inFlight} then 'capture ' || n end, case when n <= ${inFlight} then ${nowMs} + n end, ${nowMs}, ${nowMs}
    from generate_series(1, ${payments}) as n`);
  await sql.unsafe(`
    insert into transfers (id, kind, payment_id, at_ms)
    select ${sqlId(7, 'n')}, 'capture', ${sqlId(1, 'n')}, ${nowMs} - n
    from generate_series(${inFlight + 1}, ${payments}) as n`);
  await sql.unsafe(`
    insert into entries (transfer_id, account, currency, amount_minor, at_ms)
    select ${sqlId(7, 'n')}, account, 'VND', amount, ${nowMs} - n
    from generate_series(${inFlight + 1}, ${payments}) as n,
         lateral (values ('provider', -100), ('driver:' || ${sqlId(3, 'n % 500')}, 100)) as posting (account, amount)`);
  await sql.unsafe(`
    insert into account_balances (account, currency, amount_minor)
    select 'driver:' || ${sqlId(3, 'n')}, 'VND', 100 from generate_series(1, 500) as n`);
  await sql.unsafe(`
    insert into refunds (id, payment_id, amount_minor, reason, requested_by, status, timer_at_ms, created_at_ms, updated_at_ms)
    select ${sqlId(8, 'n')}, ${sqlId(1, `n + ${inFlight}`)}, 1, 'why', ${sqlId(9, 'n')},
           case when n <= 20 then 'pending' else 'settled' end, case when n <= 20 then ${nowMs} + n end, ${nowMs}, ${nowMs}
    from generate_series(1, 2000) as n`);
  await sql.unsafe(`
    insert into reversals (id, payment_id, kind, provider_ref, currency, amount_minor, status, timer_at_ms,
                           created_at_ms, updated_at_ms)
    select ${sqlId(8, 'n')}, ${sqlId(1, 'n')}, 'void', 'ref ' || n, 'VND', 1,
           case when n <= 20 then 'pending' else 'done' end, case when n <= 20 then ${nowMs} + n end, ${nowMs}, ${nowMs}
    from generate_series(1, 2000) as n`);
  await sql`analyze`;
}

const nowMs = () => payment.clock.nowMs();
const tables = [
  'payment_methods',
  'quotes',
  'payments',
  'refunds',
  'reversals',
  'transfers',
  'entries',
  'account_balances',
];

test.each<[string, string, () => Promise<unknown>]>([
  [
    'a payment',
    'payments_pkey',
    () => store.payments.findVisible(paymentId, { role: 'ops' }, createReadConsistencyToken()),
  ],
  [
    'a receipt',
    'payments_trip_id_key',
    () =>
      store.payments.findByTrip(
        idOf<TripId>(6, 777),
        { role: 'rider', id: idOf<PersonId>(2, 777) },
        createReadConsistencyToken(),
      ),
  ],
  ['a charge', 'payments_pkey', () => store.payments.findCharge(paymentId)],
  ['due charges', 'payments_by_timer', () => store.payments.claimDue(nowMs() + 5, nowMs() + 9, 16)],
  ['the debt of a rider', 'payments_owed_by_rider', () => store.payments.findDebt(riderId)],
  [
    "a page of a rider's payments",
    'payments_of_rider',
    () =>
      store.payments.list(
        riderId,
        { cursor: { atMs: nowMs(), id: paymentId }, limit: 20 },
        createReadConsistencyToken(),
      ),
  ],
  [
    "the status of a trip's payment",
    'payments_trip_id_key',
    () => store.payments.statusOfTrip(idOf<TripId>(6, 777)),
  ],
  ['due reversals', 'reversals_by_timer', () => store.reversals.claimDue(nowMs() + 5, nowMs() + 9, 16)],
  ['due refunds', 'refunds_by_timer', () => store.refunds.claimDue(nowMs() + 5, nowMs() + 9, 16)],
  ['a refund', 'refunds_pkey', () => store.refunds.find(idOf<RefundId>(8, 700))],
  [
    "a rider's methods",
    'payment_methods_of_rider',
    () => store.methods.list(riderId, undefined, 20, createReadConsistencyToken()),
  ],
  ['the number of methods of a rider', 'payment_methods_of_rider', () => store.methods.count(riderId)],
  ['the newest method of a rider', 'payment_methods_of_rider', () => store.methods.pick(riderId, undefined)],
  [
    'one method of a rider',
    'payment_methods_',
    () => store.methods.pick(riderId, idOf<PaymentMethodId>(4, 900)),
  ],
  ['a quote', 'quotes_pkey', () => store.quotes.find(idOf<QuoteId>(5, 700))],
  ['expired quotes', 'quotes_by_expiry', () => store.quotes.deleteExpired(nowMs() - 4_990, 5)],
  [
    'a page of earnings',
    'entries_of_account',
    () => store.ledger.page(driverAccountOf(driverId), undefined, 20, createReadConsistencyToken()),
  ],
  [
    'the balance of an account',
    'account_balances_pkey',
    () =>
      store.ledger.page(
        driverAccountOf(driverId),
        { atMs: nowMs(), id: idOf(7, 1) },
        20,
        createReadConsistencyToken(),
      ),
  ],
])('the query for %s uses the index %s', async (_, index, work) => {
  const plan = await planned.plansOf(work);
  expect(plan).toContain(index);
  for (const table of tables) expect(plan).not.toContain(`Seq Scan on ${table}`);
});
