import type { RefundId, TripId } from '@contracts/ids.ts';
import type { Currency, Money } from '@contracts/money.ts';
import type { Cursor } from '@platform/http/cursor.ts';
import type { Database, Sql } from '@platform/postgres/database.ts';
import type { ReadConsistencyToken } from '@platform/postgres/read-consistency.ts';
import { hasRunningBalance, type LedgerAccount, type LedgerTransfer } from '../ledger/transfers.ts';

export interface NewTransfer {
  id: string;
  kind: 'fare' | 'capture' | 'refund';
  refundId: RefundId | null;
  transfer: LedgerTransfer;
}

export interface EntryRow {
  transferId: string;
  kind: NewTransfer['kind'];
  tripId: TripId;
  amountMinor: number;
  currency: Currency;
  atMs: number;
}

/**
 * CTEs that post the transfer, its entries and its balance changes, once for the payment (id) in the row of
 * the CTE named `fromCte`. A transfer of zero is not posted. Balance rows are locked in the order of the
 * accounts, so two transfers cannot deadlock.
 */
export function postTransfer(sql: Sql, posted: NewTransfer, nowMs: number, fromCte: string) {
  const { currency, postings } = posted.transfer;
  const accounts = postings.map(({ account }) => account);
  const amounts = postings.map(({ amountMinor }) => amountMinor);
  return sql`
    posted as (
      insert into transfers (id, kind, payment_id, refund_id, at_ms)
      select ${posted.id}::uuid, ${posted.kind}::text, id, ${posted.refundId}::uuid, ${nowMs}::bigint
      from ${sql(fromCte)} where ${postings.length > 0}
      returning id
    ), entered as (
      insert into entries (transfer_id, account, currency, amount_minor, at_ms)
      select posted.id, posting.account, ${currency}::text, posting.amount_minor, ${nowMs}::bigint
      from posted, unnest(${accounts}::text[], ${amounts}::bigint[]) as posting (account, amount_minor)
      returning account, currency, amount_minor
    ), balanced as (
      insert into account_balances (account, currency, amount_minor)
      select account, currency, amount_minor from entered
      where account = any(${accounts.filter(hasRunningBalance)}::text[])
      order by account
      on conflict (account, currency)
        do update set amount_minor = account_balances.amount_minor + excluded.amount_minor
    )`;
}

export interface AccountPage {
  /** The running balances of the account, one for each currency that was posted to it. */
  balances: Money[];
  /** Newest first, after the cursor. */
  entries: EntryRow[];
}

export function createLedgerStore({ read }: Database) {
  return {
    page: (account: LedgerAccount, cursor: Cursor | undefined, limit: number, token: ReadConsistencyToken) =>
      read(token, async (sql): Promise<AccountPage> => {
        const [balances, entries] = await Promise.all([
          selectBalances(sql, account),
          selectEntries(sql, account, cursor, limit),
        ]);
        return { balances, entries };
      }),
  };
}

const selectBalances = (sql: Sql, account: LedgerAccount) => sql<Money[]>`
  select amount_minor as "amountMinor", currency from account_balances
  where account = ${account} order by currency`;

function selectEntries(sql: Sql, account: LedgerAccount, cursor: Cursor | undefined, limit: number) {
  const after =
    cursor === undefined
      ? sql``
      : sql`and (e.at_ms, e.transfer_id) < (${cursor.atMs}::bigint, ${cursor.id}::uuid)`;
  return sql<EntryRow[]>`
    select e.transfer_id as "transferId", t.kind, p.trip_id as "tripId", e.amount_minor as "amountMinor",
           e.currency, e.at_ms as "atMs"
    from entries e
    join transfers t on t.id = e.transfer_id
    join payments p on p.id = t.payment_id
    where e.account = ${account} ${after}
    order by e.at_ms desc, e.transfer_id desc
    limit ${limit}`;
}
