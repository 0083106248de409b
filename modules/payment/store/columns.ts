import type { PaymentStatus } from '@contracts/payments.ts';
import type { Sql } from '@platform/postgres/database.ts';

/** The columns of a PaymentRecord. */
export const paymentColumns = (sql: Sql) => sql`
  payments.id, payments.trip_id as "tripId", payments.rider_id as "riderId", payments.driver_id as "driverId",
  payments.status, payments.intent, payments.version, payments.currency, payments.amount_minor as "amountMinor",
  payments.commission_minor as "commissionMinor", payments.refunded_minor as "refundedMinor",
  payments.refunding_minor as "refundingMinor", payments.failure_reason as "failureReason",
  payments.authorisation_ref as "authorisationRef", payments.capture_ref as "captureRef",
  payments.debt_since_ms as "debtSinceMs",
  payments.created_at_ms as "createdAtMs", payments.updated_at_ms as "updatedAtMs"`;

/** The columns of a Charge. */
export const chargeColumns = (sql: Sql) => sql`
  ${paymentColumns(sql)}, payments.authorise_minor as "authoriseMinor", payments.attempt,
  payments.key_at_ms as "keyAtMs", payments.sent_at_ms as "sentAtMs", payments.fence, payments.attempts,
  (select token from payment_methods m
   where m.id = payments.payment_method_id and m.rider_id = payments.rider_id) as token`;

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
