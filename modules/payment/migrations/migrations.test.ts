import { afterAll, expect, test } from 'bun:test';
import { findPaymentViolations } from '@invariants/payments.ts';
import { createLog } from '@platform/log.ts';
import { createDatabase } from '@platform/postgres/database.ts';
import { migrate } from '@platform/postgres/migrate.ts';
import { createTestDatabase } from '@testing/postgres.ts';
import { migrations } from './index.ts';

const log = createLog('silent');
const { url, drop } = await createTestDatabase();
const database = createDatabase({ url, schema: 'payment', poolMax: 2, statementTimeoutMs: 5_000, log });
afterAll(async () => {
  await database.close();
  await drop();
});

const idOf = (kind: number, n: number) => `0000000${kind}-0000-7000-8000-${String(n).padStart(12, '0')}`;

test('the migration of payments that predate authorised trips credits the drivers and turns failures into debts', async () => {
  const sql = database.primary;
  await migrate(database, migrations.slice(0, 2), log);
  const statuses = ['none', 'authorised', 'captured', 'failed', 'refunded'];
  for (const [n, status] of statuses.entries()) {
    const isCaptured = status === 'captured' || status === 'refunded';
    const isOpen = status === 'none' || status === 'authorised';
    await sql`
      insert into payments
        (id, trip_id, rider_id, driver_id, payment_method_id, status, version, currency, amount_minor,
         commission_minor, refunded_minor, failure_reason, authorisation_ref, product, distance_metres,
         duration_seconds, lines, completed_at_ms, captured_at_ms, timer_at_ms, created_at_ms, updated_at_ms)
      values
        (${idOf(1, n)}, ${idOf(2, n)}, ${idOf(3, n)}, ${idOf(4, n)}, ${idOf(5, n)}, ${status}, 1, 'VND', 1000,
         200, ${status === 'refunded' ? 1000 : 0}, ${status === 'failed' ? 'card_declined' : null},
         ${status === 'none' ? null : idOf(6, n)}, 'car', 1, 1, '[{"kind":"base","amountMinor":1000}]', 1,
         ${isCaptured ? 2 : null}, ${isOpen ? 3 : null}, 1, 1)`;
  }
  await migrate(database, migrations, log);
  const rows = await sql`
    select status, intent, debt_since_ms is not null as owed, timer_at_ms is not null as due from payments
    order by id`;
  expect(rows.map(({ status, intent, owed, due }) => [status, intent, owed, due])).toEqual([
    ['none', 'charge', false, true],
    ['authorised', 'charge', false, true],
    ['captured', 'charge', false, false],
    ['failed', 'charge', true, true],
    ['refunded', 'charge', false, false],
  ]);
  const balances = await sql<{ account: string; amountMinor: number }[]>`
    select account, amount_minor as "amountMinor" from account_balances order by account`;
  expect(balances.map(({ account, amountMinor }) => [account.split(':')[0], Number(amountMinor)])).toEqual([
    ['driver', 800],
    ['driver', 800],
    ['driver', 800],
    ['rider', -1000],
    ['rider', -1000],
    ['rider', -1000],
  ]);
  const found = await findPaymentViolations(sql);
  // Here the captured and refunded payments have no provider records and no history.
  expect(found.filter((violation) => /sums to|has a balance|owed since/.test(violation))).toEqual([]);
});
