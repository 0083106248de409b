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
 * Trips without a payment can't be seen from here: ask `chargeViolations` with the trips that ended.
 */
export async function paymentInvariants(
  sql: Sql,
  { nowMs }: PaymentInvariantOptions = {},
): Promise<string[]> {
  const found = await Promise.all([
    unbalancedTransfers(sql),
    wrongBalances(sql),
    wrongCaptures(sql),
    wrongRefunds(sql),
    wrongLedger(sql),
    wrongHistory(sql),
    wrongEvents(sql),
    wrongLines(sql),
    ...(nowMs === undefined ? [] : [unwatchedCharges(sql, nowMs)]),
  ]);
  return found.flat();
}

/** Of the given completed trips, those that are not captured (or refunded since), or failed for a reason, exactly once. */
export async function chargeViolations(sql: Sql, completedTripIds: readonly string[]): Promise<string[]> {
  return told(sql`
    select format('trip %s is completed, its payments are: %s', trip_id,
                  coalesce(string_agg(p.status, ', '), 'none at all')) as said
    from unnest(${[...completedTripIds]}::uuid[]) as trip_id
    left join payments p using (trip_id)
    group by trip_id
    having count(p.id) filter (where p.status in ('captured', 'refunded', 'failed')) <> 1`);
}

/** Payments that take more than the fare that was quoted for their trip. */
export async function overcharges(sql: Sql, quotedMinor: ReadonlyMap<string, number>): Promise<string[]> {
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
               where account like 'driver:%' group by account, currency) e using (account, currency)
    where b.amount_minor is distinct from e.amount_minor`);
}

/** Money is taken at the provider once for a captured payment, and never for one that failed. */
function wrongCaptures(sql: Sql): Promise<string[]> {
  return told(sql`
    select format('payment %s is %s over %s %s and has %s capture(s) of %s at the provider', p.id, p.status,
                  p.amount_minor, p.currency, count(c.ref), coalesce(sum(c.amount_minor), 0)) as said
    from payments p
    left join provider_charges c
      on c.reference = p.id::text and c.operation = 'capture' and c.outcome = 'ok' and c.currency = p.currency
    group by p.id
    having case
      when p.status in ('captured', 'refunded') then count(c.ref) <> 1 or sum(c.amount_minor) <> p.amount_minor
      when p.status = 'authorised' then count(c.ref) > 1
      else count(c.ref) > 0
    end
    union all
    select format('capture %s at the provider belongs to no payment', c.ref)
    from provider_charges c
    where c.operation = 'capture' and not exists (select from payments p where p.id::text = c.reference)
    union all
    select format('payment %s has %s authorisations at the provider', c.reference, count(*))
    from provider_charges c where c.operation = 'authorise' and c.outcome = 'ok'
    group by c.reference having count(*) > 1`);
}

function wrongRefunds(sql: Sql): Promise<string[]> {
  return told(sql`
    with ours as (
      select payment_id, coalesce(sum(amount_minor) filter (where status = 'settled'), 0) as settled,
             coalesce(sum(amount_minor) filter (where status = 'pending'), 0) as pending
      from refunds group by payment_id),
    theirs as (
      select reference, sum(amount_minor) as refunded
      from provider_charges where operation = 'refund' and outcome = 'ok' group by reference)
    select format('payment %s of %s: %s refunded and %s pending, its refunds say %s and %s, the provider %s', p.id,
                  p.amount_minor, p.refunded_minor, p.refunding_minor, ours.settled, ours.pending,
                  theirs.refunded) as said
    from payments p
    left join ours on ours.payment_id = p.id
    left join theirs on theirs.reference = p.id::text
    where p.refunded_minor <> coalesce(ours.settled, 0)
       or p.refunding_minor <> coalesce(ours.pending, 0)
       or p.refunded_minor + p.refunding_minor > p.amount_minor
       or coalesce(theirs.refunded, 0) < p.refunded_minor
       or coalesce(theirs.refunded, 0) > p.refunded_minor + p.refunding_minor`);
}

/** The ledger says of a payment what its row says: driver and commission together hold what was not refunded. */
function wrongLedger(sql: Sql): Promise<string[]> {
  return told(sql`
    select format('payment %s (%s, %s refunded) is in the ledger with clearing %s, driver %s, commission %s', p.id,
                  p.status, p.refunded_minor, l.clearing, l.driver, l.commission) as said
    from payments p
    left join lateral (
      select coalesce(sum(e.amount_minor) filter (where e.account = 'provider:clearing'), 0) as clearing,
             coalesce(sum(e.amount_minor) filter (where e.account = 'driver:' || p.driver_id), 0) as driver,
             coalesce(sum(e.amount_minor) filter (where e.account = 'platform:commission'), 0) as commission
      from transfers t join entries e on e.transfer_id = t.id where t.payment_id = p.id) l on true
    where l.clearing <> case when p.status in ('captured', 'refunded') then p.refunded_minor - p.amount_minor else 0 end
       or l.driver + l.commission <> -l.clearing
       or l.driver < 0 or l.commission < 0
       or (p.status = 'refunded' and (l.driver <> 0 or l.commission <> 0))
       or (p.status = 'captured' and p.refunded_minor = 0 and l.commission <> p.commission_minor)`);
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
      ('', 'none'), ('none', 'authorised'), ('none', 'failed'), ('authorised', 'captured'),
      ('authorised', 'failed'), ('captured', 'captured'), ('captured', 'refunded'))
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
    from refunds where timer_at_ms < ${nowMs - overdueMs}`);
}
