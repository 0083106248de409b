import type { DriverId, PaymentId, RiderId, TripId } from '@contracts/ids.ts';
import type { Currency } from '@contracts/money.ts';
import type { PaymentStatus } from '@contracts/payments.ts';
import type { Sql } from '@platform/postgres/database.ts';
import type { Charge, PaymentIntent, PaymentRecord } from '../payment.ts';

/** A row of `payments` as it is read. The constraints of the table say which columns a status has. */
export interface PaymentRow {
  id: PaymentId;
  tripId: TripId;
  riderId: RiderId;
  driverId: DriverId | null;
  status: PaymentStatus;
  intent: PaymentIntent;
  version: number;
  currency: Currency;
  amountMinor: number;
  commissionMinor: number;
  refundedMinor: number;
  refundingMinor: number;
  failureReason: string | null;
  authorisationRef: string | null;
  captureRef: string | null;
  capturedAtMs: number | null;
  debtSinceMs: number | null;
  createdAtMs: number;
  updatedAtMs: number;
}

export interface ChargeRow extends PaymentRow {
  authoriseMinor: number;
  attempt: number;
  keyAtMs: number | null;
  sentAtMs: number | null;
  token: string | null;
  fence: number;
  attempts: number;
}

/** The columns of a PaymentRow. */
export const paymentColumns = (sql: Sql) => sql`
  payments.id, payments.trip_id as "tripId", payments.rider_id as "riderId", payments.driver_id as "driverId",
  payments.status, payments.intent, payments.version, payments.currency, payments.amount_minor as "amountMinor",
  payments.commission_minor as "commissionMinor", payments.refunded_minor as "refundedMinor",
  payments.refunding_minor as "refundingMinor", payments.failure_reason as "failureReason",
  payments.authorisation_ref as "authorisationRef", payments.capture_ref as "captureRef",
  payments.captured_at_ms as "capturedAtMs", payments.debt_since_ms as "debtSinceMs",
  payments.created_at_ms as "createdAtMs", payments.updated_at_ms as "updatedAtMs"`;

/** The columns of a ChargeRow. */
export const chargeColumns = (sql: Sql) => sql`
  ${paymentColumns(sql)}, payments.authorise_minor as "authoriseMinor", payments.attempt,
  payments.key_at_ms as "keyAtMs", payments.sent_at_ms as "sentAtMs", payments.fence, payments.attempts,
  (select token from payment_methods m
   where m.id = payments.payment_method_id and m.rider_id = payments.rider_id) as token`;

/** Parses a row into the union by status. Throws when the row lacks what its status must have. */
export function parsePayment(row: PaymentRow): PaymentRecord {
  const fields = fieldsOf(row);
  const { status, authorisationRef, refundedMinor, refundingMinor } = row;
  switch (status) {
    case 'none':
      return { ...fields, ...openTermsOf(row), status };
    case 'authorised':
      return {
        ...fields,
        ...openTermsOf(row),
        status,
        authorisationRef: required(row, 'authorisationRef'),
      };
    case 'declined':
      return { ...fields, ...openTermsOf(row), status, failureReason: required(row, 'failureReason') };
    case 'failed':
      return {
        ...fields,
        ...completedTermsOf(row),
        status,
        failureReason: required(row, 'failureReason'),
        debtSinceMs: required(row, 'debtSinceMs'),
        authorisationRef,
      };
    case 'captured':
    case 'refunded':
      return {
        ...fields,
        ...completedTermsOf(row),
        status,
        captureRef: required(row, 'captureRef'),
        capturedAtMs: required(row, 'capturedAtMs'),
        authorisationRef,
        refundedMinor,
        refundingMinor,
      };
    case 'voided':
      return { ...fields, status, intent: 'void', authorisationRef };
  }
}

export function parseCharge(row: ChargeRow): Charge {
  const { authoriseMinor, attempt, keyAtMs, sentAtMs, token, fence, attempts } = row;
  const openKey = keyAtMs === null ? null : { firstSentAtMs: keyAtMs, lastSentAtMs: sentAtMs ?? keyAtMs };
  return { ...parsePayment(row), authoriseMinor, attempt, openKey, token, fence, attempts };
}

function fieldsOf(row: PaymentRow) {
  const { id, tripId, riderId, version, currency, amountMinor, createdAtMs, updatedAtMs } = row;
  return { id, tripId, riderId, version, currency, amountMinor, createdAtMs, updatedAtMs };
}

function openTermsOf(row: PaymentRow) {
  const { intent, debtSinceMs } = row;
  return intent === 'charge' ? { ...completedTermsOf(row), debtSinceMs } : { intent };
}

function completedTermsOf(row: PaymentRow) {
  const { commissionMinor } = row;
  return { intent: 'charge' as const, driverId: required(row, 'driverId'), commissionMinor };
}

function required<Column extends keyof PaymentRow>(row: PaymentRow, column: Column) {
  const value = row[column];
  if (value === null) throw new Error(`payment ${row.id} is ${row.status} and has no ${column}`);
  return value as NonNullable<PaymentRow[Column]>;
}

/** Inserts a history row for the payment in the CTE named `fromCte` (its id and new version). */
export function insertPaymentHistory(
  sql: Sql,
  change: { from: PaymentStatus | null; to: PaymentStatus; reason?: string },
  nowMs: number,
  fromCte: string,
) {
  return sql`
    insert into payment_history (payment_id, version, from_status, to_status, reason, at_ms)
    select id, version, ${change.from}::text, ${change.to}::text, ${change.reason ?? null}::text, ${nowMs}::bigint
    from ${sql(fromCte)}`;
}
