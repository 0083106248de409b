import type { DomainEvent } from '@contracts/events.ts';
import type { PaymentId } from '@contracts/ids.ts';
import type { PaymentStatus } from '@contracts/payments.ts';
import type { Sql } from '@platform/postgres/database.ts';
import { insertEvent } from '@platform/postgres/statements.ts';
import type { Charge } from '../payment.ts';
import { type NewTransfer, postTransfer } from './ledger.ts';
import { insertReversal, type NewReversal } from './reversals.ts';
import { type ChargeRow, chargeColumns, insertPaymentHistory, parseCharge } from './rows.ts';

/**
 * The steps of a charge. An answer of the provider is true whoever brings it, so a step is guarded by the
 * state that it was decided on. Postponing and giving up are decisions of one worker, so they require its
 * fence. Each step returns false when the payment is not in that state any more.
 */
export function createChargeStore(sql: Sql) {
  return { ...createClaims(sql), ...createSteps(sql), ...createReleases(sql), ...createFailures(sql) };
}

function createClaims(sql: Sql) {
  return {
    /**
     * Claims due charges until `leaseUntilMs`, skipping rows that another instance is claiming. Where the
     * claim will send the key of the attempt, the row records that before the key is sent.
     */
    async claimDue(nowMs: number, leaseUntilMs: number, limit: number): Promise<Charge[]> {
      const sends = sql`status <> 'none' or intent <> 'void'`;
      const rows = await sql<ChargeRow[]>`
        update payments
        set timer_at_ms = ${leaseUntilMs}, fence = fence + 1, attempts = attempts + 1,
            key_at_ms = case when ${sends} then coalesce(key_at_ms, ${nowMs}::bigint) else key_at_ms end,
            sent_at_ms = case when ${sends} then ${nowMs}::bigint else sent_at_ms end
        where id = any(array(
          select id from payments where timer_at_ms <= ${nowMs}
          order by timer_at_ms limit ${limit} for update skip locked))
        returning ${chargeColumns(sql)}`;
      return rows.map(parseCharge);
    },

    async findCharge(id: PaymentId): Promise<Charge | undefined> {
      const [row] = await sql<ChargeRow[]>`select ${chargeColumns(sql)} from payments where id = ${id}`;
      return row && parseCharge(row);
    },

    /** Makes the charge due again at `timerAtMs`. */
    async postpone({ id, fence }: Charge, timerAtMs: number): Promise<void> {
      await sql`
        update payments set timer_at_ms = ${timerAtMs}
        where id = ${id} and fence = ${fence} and timer_at_ms is not null`;
    },

    /** Continues under a new key: the provider may have forgotten the old one and lists nothing for it. */
    async renewKey({ id, fence, attempt }: Charge, nowMs: number): Promise<void> {
      // A worker that lost its lease reads the fence of the next one, so the attempt is compared too.
      await sql`
        update payments set attempt = attempt + 1, key_at_ms = ${nowMs}, sent_at_ms = ${nowMs}
        where id = ${id} and fence = ${fence} and attempt = ${attempt}`;
    },
  };
}

function createSteps(sql: Sql) {
  return {
    /**
     * → `authorised`. While the trip goes on it stays there; otherwise the next step is due at `timerAtMs`.
     */
    async authorise(charge: Charge, ref: string, timerAtMs: number, nowMs: number): Promise<boolean> {
      const { id, status: from, attempt } = charge;
      const rows = await sql`
        with changed as (
          update payments
          set status = 'authorised', version = version + 1, authorisation_ref = ${ref}, failure_reason = null,
              attempts = 1, updated_at_ms = ${nowMs}, sent_at_ms = ${nowMs},
              key_at_ms = case when intent = 'hold' then null else ${nowMs}::bigint end,
              timer_at_ms = case when intent = 'hold' then null else ${timerAtMs}::bigint end
          where id = ${id} and status = ${from} and attempt = ${attempt} and authorisation_ref is null
          returning id, version
        ), recorded as (${insertPaymentHistory(sql, { from, to: 'authorised' }, nowMs, 'changed')})
        select id from changed`;
      return rows.length > 0;
    },

    /**
     * → `captured`, with its ledger entries, its event, and the reversal of an authorisation that was not
     * used.
     */
    async capture(
      { id, status: from }: Charge,
      ref: string,
      transfer: NewTransfer,
      event: DomainEvent<'payment.captured.v1'>,
      unused: NewReversal | undefined,
      nowMs: number,
    ): Promise<boolean> {
      const rows = await sql`
        with changed as (
          update payments
          set status = 'captured', version = version + 1, capture_ref = ${ref}, captured_at_ms = ${nowMs},
              failure_reason = null, debt_since_ms = null, key_at_ms = null, timer_at_ms = null,
              updated_at_ms = ${nowMs}
          where id = ${id} and status = ${from} and intent = 'charge'
          returning id, version
        ), recorded as (${insertPaymentHistory(sql, { from, to: 'captured' }, nowMs, 'changed')}),
        ${postTransfer(sql, transfer, nowMs, 'changed')},
        released as (${insertReversal(sql, unused, nowMs, 'changed')}),
        published as (${insertEvent(sql, event, 'changed')})
        select id from changed`;
      return rows.length > 0;
    },
  };
}

function createReleases(sql: Sql) {
  return {
    /** → `voided`; with its event when there was an authorisation. */
    async void(
      { id, status: from }: Charge,
      event: DomainEvent<'payment.voided.v1'>,
      nowMs: number,
    ): Promise<boolean> {
      const rows = await sql`
        with changed as (
          update payments
          set status = 'voided', version = version + 1, failure_reason = null, key_at_ms = null,
              timer_at_ms = null, updated_at_ms = ${nowMs}
          where id = ${id} and status = ${from} and intent = 'void'
          returning id, version
        ), recorded as (${insertPaymentHistory(sql, { from, to: 'voided' }, nowMs, 'changed')}),
        released as (select id from changed where ${from === 'authorised'}),
        published as (${insertEvent(sql, event, 'released')})
        select id from changed`;
      return rows.length > 0;
    },

    /**
     * `authorised` → `none`: the next attempt authorises the whole amount, and this authorisation is
     * reversed.
     */
    async authoriseAnew(
      charge: Charge,
      unused: NewReversal,
      timerAtMs: number,
      nowMs: number,
    ): Promise<boolean> {
      const { id, attempt } = charge;
      const rows = await sql`
        with changed as (
          update payments
          set status = 'none', version = version + 1, attempt = attempt + 1, authorisation_ref = null,
              authorise_minor = amount_minor, attempts = 1, key_at_ms = ${nowMs}, sent_at_ms = ${nowMs},
              timer_at_ms = ${timerAtMs}, updated_at_ms = ${nowMs}
          where id = ${id} and status = 'authorised' and attempt = ${attempt} and intent = 'charge'
          returning id, version
        ), recorded as (${insertPaymentHistory(sql, { from: 'authorised', to: 'none' }, nowMs, 'changed')}),
        released as (${insertReversal(sql, unused, nowMs, 'changed')})
        select id from changed`;
      return rows.length > 0;
    },
  };
}

/** How an attempt failed. */
export interface AttemptFailure {
  reason: string;
  /** When the next attempt is due; null when there is no automatic one. */
  timerAtMs: number | null;
  /** The authorisation whose capture was declined. */
  unusedAuthorisation: NewReversal | undefined;
}

function createFailures(sql: Sql) {
  return {
    /**
     * The provider declined the attempt: → `declined` while the trip has not ended, otherwise → `failed`.
     * The next attempt gets a new number.
     */
    async decline(
      charge: Charge,
      to: Extract<PaymentStatus, 'declined' | 'failed'>,
      { reason, timerAtMs, unusedAuthorisation }: AttemptFailure,
      event: DomainEvent<'payment.declined.v1' | 'payment.failed.v1'> | undefined,
      nowMs: number,
    ): Promise<boolean> {
      const { id, status: from, intent, attempt } = charge;
      const isTransition = from !== to;
      const rows = await sql`
        with changed as (
          update payments
          set status = ${to}, version = version + ${isTransition ? 1 : 0}, failure_reason = ${reason},
              attempt = attempt + 1, authorisation_ref = null, key_at_ms = null, attempts = 0,
              authorise_minor = case when intent = 'charge' then amount_minor else authorise_minor end,
              debt_since_ms = ${to === 'failed' ? sql`coalesce(debt_since_ms, ${nowMs}::bigint)` : sql`null`},
              timer_at_ms = ${timerAtMs}, updated_at_ms = ${nowMs}
          where id = ${id} and status = ${from} and intent = ${intent} and attempt = ${attempt}
          returning id, version
        ), transitioned as (select id, version from changed where ${isTransition}),
        recorded as (${insertPaymentHistory(sql, { from, to, reason }, nowMs, 'transitioned')}),
        released as (${insertReversal(sql, unusedAuthorisation, nowMs, 'changed')})
        ${event === undefined ? sql`` : sql`, published as (${insertEvent(sql, event, 'changed')})`}
        select id from changed`;
      return rows.length > 0;
    },

    /** → `failed`, decided by this worker. The attempt stays open, because its answer may still come. */
    async giveUp(
      { id, status: from, fence }: Charge,
      reason: string,
      timerAtMs: number,
      event: DomainEvent<'payment.failed.v1'> | undefined,
      nowMs: number,
    ): Promise<boolean> {
      const rows = await sql`
        with changed as (
          update payments
          set status = 'failed', version = version + 1, failure_reason = ${reason}, timer_at_ms = ${timerAtMs},
              debt_since_ms = coalesce(debt_since_ms, ${nowMs}::bigint), updated_at_ms = ${nowMs}
          where id = ${id} and status = ${from} and fence = ${fence} and intent = 'charge'
          returning id, version
        ), recorded as (${insertPaymentHistory(sql, { from, to: 'failed', reason }, nowMs, 'changed')})
        ${event === undefined ? sql`` : sql`, published as (${insertEvent(sql, event, 'changed')})`}
        select id from changed`;
      return rows.length > 0;
    },
  };
}
