import type { Sql } from '@platform/postgres/database.ts';

export interface PaymentInvariantOptions {
  /**
   * The time by the system's clock. With it, a charge whose timer is long overdue counts as one that
   * nobody looks after; leave it out while the service is down on purpose.
   */
  nowMs?: number;
}

// Some seconds after faults have ended, somebody has seen to every timer that is due.
const overdueMs = 15_000;

/**
 * What must hold of the payment context at any moment, also while charges are under way: one sentence
 * for each violation, none when all is well. `sql` is on the payment schema (its search_path).
 * Trips without a payment can't be seen from here: ask `findChargeViolations` with the trips that ended.
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
    wrongEvents(sql),
    wrongLines(sql),
    ...(nowMs === undefined ? [] : [unwatchedCharges(sql, nowMs), unreleased(sql, nowMs)]),
  ]);
  return found.flat();
}

/** Of the given completed trips, those that are not captured (or refunded since), or owed by their rider, exactly once. */
export async function findChargeViolations(sql: Sql, completedTripIds: readonly string[]): Promise<string[]> {
  return told(sql`
    select format('trip %s is completed, its payments are: %s', trip_id,
                  coalesce(string_agg(p.status, ', '), 'none at all')) as said
    from unnest(${[...completedTripIds]}::uuid[]) as trip_id
    left join payments p using (trip_id)
    group by trip_id
    having count(p.id) filter (where p.status in ('captured', 'refunded', 'failed') and p.intent = 'charge') <> 1`);
}

/** Of the given trips, which ended without a ride, those whose payment is not over: nothing taken, nothing set aside. */
export async function findReleaseViolations(sql: Sql, endedTripIds: readonly string[]): Promise<string[]> {
  return told(sql`
    select format('trip %s ended without a ride, its payments are: %s', trip_id,
                  coalesce(string_agg(p.status, ', '), 'none at all')) as said
    from unnest(${[...endedTripIds]}::uuid[]) as trip_id
    left join payments p using (trip_id)
    group by trip_id
    having count(p.id) filter (where p.status in ('voided', 'declined') and p.intent = 'void') <> 1`);
}

/** Payments that take more than the fare that was quoted for their trip. */
export async function findOvercharges(sql: Sql, quotedMinor: ReadonlyMap<string, number>): Promise<string[]> {
  return told(sql`
    select format('trip %s was quoted at %s and costs %s', trip_id, quoted_minor, p.amount_minor) as said
    from unnest(${[...quotedMinor.keys()]}::uuid[], ${[...quotedMinor.values()]}::bigint[]) as quoted (trip_id, quoted_minor)
    join payments p using (trip_id)
    where p.amount_minor > quoted_minor`);
}

async function told(rows: PromiseLike<Iterable<{ said?: string }>>): Promise<string[]> {
  return [...(await rows)].map(({ said }) => said ?? '');
}

function unbalancedTransfers(sql: Sql): Promise<string[]> {
  return told(sql`
    select format('transfer %s sums to %s %s', t.id, coalesce(sum(e.amount_minor), 0), e.currency) as said
    from transfers t left join entries e on e.transfer_id = t.id
    group by t.id, e.currency
    having coalesce(sum(e.amount_minor), 0) <> 0 or count(e.account) = 0`);
}

function wrongBalances(sql: Sql): Promise<string[]> {
  return told(sql`
    select format('%s has a balance of %s %s and entries of %s', account, b.amount_minor, currency, e.amount_minor) as said
    from account_balances b
    full join (select account, currency, sum(amount_minor) as amount_minor from entries
               where account like 'driver:%' or account like 'rider:%' group by account, currency) e using (account, currency)
    where b.amount_minor is distinct from e.amount_minor`);
}

/**
 * Money is taken at the provider once for a captured payment, at most once for one that is still charged, and
 * never for a trip that was not completed. A capture that is being given back does not count.
 */
function wrongCaptures(sql: Sql): Promise<string[]> {
  return told(sql`
    select format('payment %s is %s over %s %s and has %s capture(s) of %s at the provider', p.id, p.status,
                  p.amount_minor, p.currency, count(c.ref), coalesce(sum(c.amount_minor), 0)) as said
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

/** Authorisations at the provider that still set money aside, less those that are being released. */
const live = (sql: Sql) => sql`
  select a.reference, a.ref from provider_charges a
  where a.operation = 'authorise' and a.outcome = 'ok'
    and not exists (select from provider_charges o
                    where o.of_ref = a.ref and o.operation in ('void', 'capture') and o.outcome = 'ok')
    and not exists (select from reversals r where r.provider_ref = a.ref::text and r.status = 'pending')`;

/** One payment sets money aside once. */
function wrongAuthorisations(sql: Sql): Promise<string[]> {
  return told(sql`
    select format('payment %s has %s authorisations at the provider', reference, count(*)) as said
    from (${live(sql)}) a group by reference having count(*) > 1`);
}

/** Some time after its end a payment sets nothing aside any more. */
function unreleased(sql: Sql, nowMs: number): Promise<string[]> {
  return told(sql`
    select format('payment %s is %s, and authorisation %s still sets money aside', p.id, p.status, a.ref) as said
    from payments p join (${live(sql)}) a on a.reference = p.id::text
    where p.status in ('declined', 'voided', 'captured', 'refunded') and p.updated_at_ms < ${nowMs - overdueMs}`);
}

/** Owed is what was completed, has failed once and is not captured; and a driver is known where a trip was completed. */
function wrongDebts(sql: Sql): Promise<string[]> {
  return told(sql`
    select format('payment %s is %s for %s and owed since %s', id, status, intent, debt_since_ms) as said
    from payments
    where (status = 'failed' and debt_since_ms is null)
       or (debt_since_ms is not null and (intent <> 'charge' or status in ('captured', 'refunded', 'voided')))
       or (status in ('captured', 'refunded', 'failed') and (intent <> 'charge' or driver_id is null))
       or (status = 'voided' and intent <> 'void')`);
}

function wrongRefunds(sql: Sql): Promise<string[]> {
  return told(sql`
    with ours as (
      select payment_id, coalesce(sum(amount_minor) filter (where status = 'settled'), 0) as settled,
             coalesce(sum(amount_minor) filter (where status = 'pending'), 0) as pending
      from refunds group by payment_id),
    theirs as (
      select of_ref::text as capture_ref, sum(amount_minor) as refunded
      from provider_charges where operation = 'refund' and outcome = 'ok' group by of_ref)
    select format('payment %s of %s: %s refunded and %s pending, its refunds say %s and %s, the provider %s', p.id,
                  p.amount_minor, p.refunded_minor, p.refunding_minor, ours.settled, ours.pending,
                  theirs.refunded) as said
    from payments p
    left join ours on ours.payment_id = p.id
    left join theirs on theirs.capture_ref = p.capture_ref
    where p.refunded_minor <> coalesce(ours.settled, 0)
       or p.refunding_minor <> coalesce(ours.pending, 0)
       or p.refunded_minor + p.refunding_minor > p.amount_minor
       or coalesce(theirs.refunded, 0) < p.refunded_minor
       or coalesce(theirs.refunded, 0) > p.refunded_minor + p.refunding_minor
    union all
    select format('capture %s was reversed with %s and the provider gave back %s', r.provider_ref, r.amount_minor,
                  theirs.refunded)
    from reversals r left join theirs on theirs.capture_ref = r.provider_ref
    where r.kind = 'refund' and r.status = 'done' and r.amount_minor is distinct from theirs.refunded
    union all
    select format('the provider gave back %s of capture %s, which nobody asked for', refunded, capture_ref)
    from theirs
    where not exists (select from payments p where p.capture_ref = theirs.capture_ref)
      and not exists (select from reversals r where r.provider_ref = theirs.capture_ref)`);
}

/**
 * The ledger says of a payment what its row says: driver and commission together hold the fare of a completed
 * trip less what was refunded, whether or not it is paid; the rider owes it until it is captured.
 */
function wrongLedger(sql: Sql): Promise<string[]> {
  return told(sql`
    select format('payment %s (%s, %s refunded) is in the ledger with clearing %s, rider %s, driver %s, commission %s',
                  p.id, p.status, p.refunded_minor, l.clearing, l.rider, l.driver, l.commission) as said
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
  return told(sql`
    select format('payment %s is at version %s in %s, its history has %s rows up to %s', p.id, p.version, p.status,
                  count(h.version), max(h.version)) as said
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
    select format('payment %s: version %s ends in %s, version %s begins in %s', payment_id, version - 1, before,
                  version, from_status)
    from (select *, lag(to_status) over (partition by payment_id order by version) as before
          from payment_history) h
    where version > 1 and before is distinct from from_status`);
}

/** The lines of a receipt make its total. */
function wrongLines(sql: Sql): Promise<string[]> {
  return told(sql`
    select format('payment %s is over %s, its lines make %s', p.id, p.amount_minor, sum((line->>'amountMinor')::bigint)) as said
    from payments p cross join lateral jsonb_array_elements(p.lines) as line
    group by p.id having sum((line->>'amountMinor')::bigint) <> p.amount_minor`);
}

/** No event of a payment waits twice, and none tells of a state that its payment never had. */
function wrongEvents(sql: Sql): Promise<string[]> {
  return told(sql`
    select format('event %s tells that payment %s is %s', o.event_id, o.subject, o.data->>'status') as said
    from outbox o
    where not exists (
      select from payment_history h
      where h.payment_id::text = o.subject and h.to_status = o.data->>'status')
    union all
    select format('event %s waits %s times', event_id, count(*)) from outbox group by event_id having count(*) > 1`);
}

/** A charge or a refund that is under way has a timer, and somebody who minds it. */
function unwatchedCharges(sql: Sql, nowMs: number): Promise<string[]> {
  return told(sql`
    select format('payment %s is %s and nobody has looked at it for %s ms', id, status, ${nowMs}::bigint - timer_at_ms) as said
    from payments where timer_at_ms < ${nowMs - overdueMs}
    union all
    select format('refund %s is %s and nobody has looked at it for %s ms', id, status, ${nowMs}::bigint - timer_at_ms)
    from refunds where timer_at_ms < ${nowMs - overdueMs}
    union all
    select format('reversal %s is %s and nobody has looked at it for %s ms', id, status, ${nowMs}::bigint - timer_at_ms)
    from reversals where timer_at_ms < ${nowMs - overdueMs}`);
}
