import type { Sql } from '@platform/postgres/database.ts';

export interface PaymentInvariantOptions {
  /**
   * The time by the system's clock. With it, a charge whose timer is long overdue is a violation. Omit it while the
   * service is stopped on purpose.
   */
  nowMs?: number;
}

// Some seconds after faults have ended, every due timer must have been processed.
const overdueMs = 15_000;

/**
 * Checks what must hold in the payment context at any time, also while charges are in flight. Returns one sentence
 * for each violation. The search_path of `sql` is the payment schema. Trips without a payment are not visible here: ask `findChargeViolations` with the trips that ended.
 */
export async function findPaymentViolations(
  sql: Sql,
  { nowMs }: PaymentInvariantOptions = {},
): Promise<string[]> {
  const found = await Promise.all([
    unbalancedTransfers(sql),
    wrongBalances(sql),
    wrongCaptures(sql),
    wrongAuthorisations(sql),
    wrongDebts(sql),
    wrongRefunds(sql),
    wrongLedger(sql),
    wrongHistory(sql),
    wrongOutboxEvents(sql),
    wrongLines(sql),
    ...(nowMs === undefined ? [] : [overdueCharges(sql, nowMs), unreleasedAuthorisations(sql, nowMs)]),
  ]);
  return found.flat();
}

/** Returns those of the given completed trips that are not captured (or refunded since) or owed exactly once. */
export async function findChargeViolations(sql: Sql, completedTripIds: readonly string[]): Promise<string[]> {
  return violationsOf(sql`
    select format('trip %s is completed, its payments are: %s', trip_id,
                  coalesce(string_agg(p.status, ', '), 'none at all')) as violation
    from unnest(${[...completedTripIds]}::uuid[]) as trip_id
    left join payments p using (trip_id)
    group by trip_id
    having count(p.id) filter (where p.status in ('captured', 'refunded', 'failed') and p.intent = 'charge') <> 1`);
}

/** Returns those of the given trips, which ended without being completed, whose payment is not released: nothing captured, nothing authorised. */
export async function findReleaseViolations(sql: Sql, endedTripIds: readonly string[]): Promise<string[]> {
  return violationsOf(sql`
    select format('trip %s ended without being completed, its payments are: %s', trip_id,
                  coalesce(string_agg(p.status, ', '), 'none at all')) as violation
    from unnest(${[...endedTripIds]}::uuid[]) as trip_id
    left join payments p using (trip_id)
    group by trip_id
    having count(p.id) filter (where p.status in ('voided', 'declined') and p.intent = 'void') <> 1`);
}

/** Returns the payments of more than the fare that was quoted for their trip. */
export async function findOvercharges(sql: Sql, quotedMinor: ReadonlyMap<string, number>): Promise<string[]> {
  return violationsOf(sql`
    select format('trip %s was quoted at %s and costs %s', trip_id, quoted_minor, p.amount_minor) as violation
    from unnest(${[...quotedMinor.keys()]}::uuid[], ${[...quotedMinor.values()]}::bigint[]) as quoted (trip_id, quoted_minor)
    join payments p using (trip_id)
    where p.amount_minor > quoted_minor`);
}

async function violationsOf(rows: PromiseLike<Iterable<{ violation?: string }>>): Promise<string[]> {
  return [...(await rows)].map(({ violation }) => violation ?? '');
}

function unbalancedTransfers(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    select format('transfer %s sums to %s %s', t.id, coalesce(sum(e.amount_minor), 0), e.currency) as violation
    from transfers t left join entries e on e.transfer_id = t.id
    group by t.id, e.currency
    having coalesce(sum(e.amount_minor), 0) <> 0 or count(e.account) = 0`);
}

function wrongBalances(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    select format('%s has a balance of %s %s and entries of %s', account, b.amount_minor, currency, e.amount_minor) as violation
    from account_balances b
    full join (select account, currency, sum(amount_minor) as amount_minor from entries
               where account like 'driver:%' or account like 'rider:%' group by account, currency) e using (account, currency)
    where b.amount_minor is distinct from e.amount_minor`);
}

/**
 * The provider has one capture for a captured payment, at most one for a payment that is still being charged, and none
 * for a trip that was not completed. A capture that is being refunded does not count.
 */
function wrongCaptures(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    select format('payment %s is %s over %s %s and has %s capture(s) of %s at the provider', p.id, p.status,
                  p.amount_minor, p.currency, count(c.ref), coalesce(sum(c.amount_minor), 0)) as violation
    from payments p
    left join provider_charges c
      on c.reference = p.id::text and c.operation = 'capture' and c.outcome = 'ok' and c.currency = p.currency
      and not exists (select from reversals r where r.kind = 'refund' and r.provider_ref = c.ref::text)
    group by p.id
    having case
      when p.status in ('captured', 'refunded') and p.amount_minor > 0
        then count(c.ref) <> 1 or sum(c.amount_minor) <> p.amount_minor
      when p.intent = 'charge' and p.amount_minor > 0 then count(c.ref) > 1
      else count(c.ref) > 0
    end
    union all
    select format('capture %s at the provider belongs to no payment', c.ref)
    from provider_charges c
    where c.operation = 'capture' and not exists (select from payments p where p.id::text = c.reference)`);
}

/** Open authorisations at the provider, without those that are being released. */
const openAuthorisations = (sql: Sql) => sql`
  select a.reference, a.ref from provider_charges a
  where a.operation = 'authorise' and a.outcome = 'ok'
    and not exists (select from provider_charges o
                    where o.of_ref = a.ref and o.operation in ('void', 'capture') and o.outcome = 'ok')
    and not exists (select from reversals r where r.provider_ref = a.ref::text and r.status = 'pending')`;

/** A payment has at most one open authorisation. */
function wrongAuthorisations(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    select format('payment %s has %s authorisations at the provider', reference, count(*)) as violation
    from (${openAuthorisations(sql)}) a group by reference having count(*) > 1`);
}

/** Some time after its end, a payment has no open authorisation. */
function unreleasedAuthorisations(sql: Sql, nowMs: number): Promise<string[]> {
  return violationsOf(sql`
    select format('payment %s is %s, and authorisation %s is still open', p.id, p.status, a.ref) as violation
    from payments p join (${openAuthorisations(sql)}) a on a.reference = p.id::text
    where p.status in ('declined', 'voided', 'captured', 'refunded') and p.updated_at_ms < ${nowMs - overdueMs}`);
}

/** A payment is owed when its trip was completed, a charge failed and it is not captured. A payment of a completed trip has a driver. */
function wrongDebts(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    select format('payment %s is %s for %s and owed since %s', id, status, intent, debt_since_ms) as violation
    from payments
    where (status = 'failed' and debt_since_ms is null)
       or (debt_since_ms is not null and (intent <> 'charge' or status in ('captured', 'refunded', 'voided')))
       or (status in ('captured', 'refunded', 'failed') and (intent <> 'charge' or driver_id is null))
       or (status = 'voided' and intent <> 'void')`);
}

function wrongRefunds(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    with ours as (
      select payment_id, coalesce(sum(amount_minor) filter (where status = 'settled'), 0) as settled,
             coalesce(sum(amount_minor) filter (where status = 'pending'), 0) as pending
      from refunds group by payment_id),
    theirs as (
      select of_ref::text as capture_ref, sum(amount_minor) as refunded
      from provider_charges where operation = 'refund' and outcome = 'ok' group by of_ref)
    select format('payment %s of %s: %s refunded and %s pending, its refund rows have %s and %s, the provider %s', p.id,
                  p.amount_minor, p.refunded_minor, p.refunding_minor, ours.settled, ours.pending,
                  theirs.refunded) as violation
    from payments p
    left join ours on ours.payment_id = p.id
    left join theirs on theirs.capture_ref = p.capture_ref
    where p.refunded_minor <> coalesce(ours.settled, 0)
       or p.refunding_minor <> coalesce(ours.pending, 0)
       or p.refunded_minor + p.refunding_minor > p.amount_minor
       or coalesce(theirs.refunded, 0) < p.refunded_minor
       or coalesce(theirs.refunded, 0) > p.refunded_minor + p.refunding_minor
    union all
    select format('capture %s was reversed with %s and the provider refunded %s', r.provider_ref, r.amount_minor,
                  theirs.refunded)
    from reversals r left join theirs on theirs.capture_ref = r.provider_ref
    where r.kind = 'refund' and r.status = 'done' and r.amount_minor is distinct from theirs.refunded
    union all
    select format('the provider refunded %s of capture %s without a refund or reversal', refunded, capture_ref)
    from theirs
    where not exists (select from payments p where p.capture_ref = theirs.capture_ref)
      and not exists (select from reversals r where r.provider_ref = theirs.capture_ref)`);
}

/**
 * The ledger matches the row of a payment: driver and commission together have the fare of a completed trip less
 * refunds, whether or not it is paid, and the rider owes it until it is captured.
 */
function wrongLedger(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    select format('payment %s (%s, %s refunded) is in the ledger with clearing %s, rider %s, driver %s, commission %s',
                  p.id, p.status, p.refunded_minor, l.clearing, l.rider, l.driver, l.commission) as violation
    from payments p
    left join lateral (
      select coalesce(sum(e.amount_minor) filter (where e.account = 'provider:clearing'), 0) as clearing,
             coalesce(sum(e.amount_minor) filter (where e.account = 'rider:' || p.rider_id), 0) as rider,
             coalesce(sum(e.amount_minor) filter (where e.account = 'driver:' || p.driver_id), 0) as driver,
             coalesce(sum(e.amount_minor) filter (where e.account = 'platform:commission'), 0) as commission
      from transfers t join entries e on e.transfer_id = t.id where t.payment_id = p.id) l on true,
    lateral (select case when p.intent = 'charge' then p.amount_minor - p.refunded_minor else 0 end as due,
                    p.status in ('captured', 'refunded') as is_paid) as fare
    where l.driver + l.commission <> fare.due
       or l.clearing <> case when is_paid then -fare.due else 0 end
       or l.rider <> case when is_paid then 0 else -fare.due end
       or l.driver < 0 or l.commission < 0
       or (p.refunded_minor = 0 and l.commission <> p.commission_minor)`);
}

function wrongHistory(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    select format('payment %s is at version %s in %s, its history has %s rows up to %s', p.id, p.version, p.status,
                  count(h.version), max(h.version)) as violation
    from payments p left join payment_history h on h.payment_id = p.id
    group by p.id
    having count(h.version) <> p.version or max(h.version) <> p.version or min(h.version) <> 1
        or (array_agg(h.to_status order by h.version desc))[1] <> p.status
    union all
    select format('payment %s went from %s to %s', h.payment_id, h.from_status, h.to_status)
    from payment_history h
    where (coalesce(h.from_status, ''), h.to_status) not in (
      ('', 'none'), ('', 'declined'), ('', 'voided'),
      ('none', 'authorised'), ('none', 'declined'), ('none', 'failed'), ('none', 'voided'), ('none', 'captured'),
      ('declined', 'authorised'), ('declined', 'failed'),
      ('authorised', 'none'), ('authorised', 'captured'), ('authorised', 'failed'), ('authorised', 'voided'),
      ('failed', 'authorised'), ('failed', 'captured'),
      ('captured', 'captured'), ('captured', 'refunded'))
    union all
    select format('payment %s: version %s ends in %s, version %s starts in %s', payment_id, version - 1, before,
                  version, from_status)
    from (select *, lag(to_status) over (partition by payment_id order by version) as before
          from payment_history) h
    where version > 1 and before is distinct from from_status`);
}

/** The lines of a receipt sum to its total. */
function wrongLines(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    select format('payment %s is over %s, its lines sum to %s', p.id, p.amount_minor, sum((line->>'amountMinor')::bigint)) as violation
    from payments p cross join lateral jsonb_array_elements(p.lines) as line
    group by p.id having sum((line->>'amountMinor')::bigint) <> p.amount_minor`);
}

/** No event is in the outbox twice, and none reports a status that its payment never had. */
function wrongOutboxEvents(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    select format('event %s reports payment %s as %s', o.event_id, o.subject, o.data->>'status') as violation
    from outbox o
    where not exists (
      select from payment_history h
      where h.payment_id::text = o.subject and h.to_status = o.data->>'status')
    union all
    select format('event %s is in the outbox %s times', event_id, count(*)) from outbox group by event_id having count(*) > 1`);
}

/** The timer of a charge, refund or reversal in flight never stays due. */
function overdueCharges(sql: Sql, nowMs: number): Promise<string[]> {
  return violationsOf(sql`
    select format('payment %s is %s and its timer is overdue by %s ms', id, status, ${nowMs}::bigint - timer_at_ms) as violation
    from payments where timer_at_ms < ${nowMs - overdueMs}
    union all
    select format('refund %s is %s and its timer is overdue by %s ms', id, status, ${nowMs}::bigint - timer_at_ms)
    from refunds where timer_at_ms < ${nowMs - overdueMs}
    union all
    select format('reversal %s is %s and its timer is overdue by %s ms', id, status, ${nowMs}::bigint - timer_at_ms)
    from reversals where timer_at_ms < ${nowMs - overdueMs}`);
}
