import type postgres from 'postgres';
import type { AcknowledgedFacts, AttemptedCalls, ClientHistory } from './client-history.ts';

type Sql = postgres.Sql;

/**
 * Acknowledged ⊆ final ⊆ attempted: one sentence for each thing that a client was told of and that is not in
 * the database as it was told, and for each thing in the database that nobody asked for.
 */
export async function checkHistory(sql: Sql, history: ClientHistory): Promise<string[]> {
  const { acknowledged, attempted } = history;
  const found = await Promise.all([
    lostTrips(sql, acknowledged),
    lostQuotes(sql, acknowledged),
    lostReceipts(sql, acknowledged),
    lostPeople(sql, acknowledged),
    unaskedPeople(sql, attempted),
    unaskedCreations(sql, attempted),
    unaskedSteps(sql, attempted),
  ]);
  return found.flat();
}

async function told(rows: PromiseLike<Iterable<{ said?: string }>>): Promise<string[]> {
  return [...(await rows)].map(({ said }) => said ?? '');
}

/** Each version of a trip that anybody was shown is in its history, in that state. */
function lostTrips(sql: Sql, { trips }: AcknowledgedFacts): Promise<string[]> {
  const seen = [...trips.values()];
  return told(sql`
    select format('trip %s was acknowledged as %s at version %s, its history says %s', s.id, s.status, s.version,
                  coalesce(h.to_status, 'nothing')) as said
    from unnest(${seen.map(({ id }) => id)}::uuid[], ${seen.map(({ version }) => version)}::int[],
                ${seen.map(({ status }) => status)}::text[]) as s (id, version, status)
    left join trip.trip_history h on h.trip_id = s.id and h.version = s.version
    where h.to_status is distinct from s.status`);
}

function lostQuotes(sql: Sql, { quotes, cards }: AcknowledgedFacts): Promise<string[]> {
  return told(sql`
    select format('quote %s was acknowledged with a fare of %s, kept is %s', s.id, s.fare, q.fare_minor) as said
    from unnest(${[...quotes.keys()]}::uuid[], ${[...quotes.values()]}::bigint[]) as s (id, fare)
    left join payment.quotes q on q.id = s.id
    where q.fare_minor is distinct from s.fare
    union all
    select format('card %s was acknowledged and is not there', s.id)
    from unnest(${[...cards]}::uuid[]) as s (id)
    where not exists (select from payment.payment_methods m where m.id = s.id)`);
}

/** What a receipt said last may have gone on since, never back. */
function lostReceipts(sql: Sql, { receipts }: AcknowledgedFacts): Promise<string[]> {
  const seen = [...receipts.values()];
  return told(sql`
    select format('payment %s was shown as %s of %s, it is %s of %s', s.id, s.status, s.total, p.status,
                  p.amount_minor) as said
    from unnest(${seen.map(({ paymentId }) => paymentId)}::uuid[], ${seen.map(({ status }) => status)}::text[],
                ${seen.map(({ total }) => total.amountMinor)}::bigint[]) as s (id, status, total)
    left join payment.payments p on p.id = s.id
    where p.id is null or p.amount_minor <> s.total
       or case s.status
            when 'captured' then p.status not in ('captured', 'refunded')
            when 'failed' then p.status <> 'failed'
            when 'authorised' then p.status = 'none'
            else false
          end`);
}

function lostPeople(sql: Sql, { people }: AcknowledgedFacts): Promise<string[]> {
  return told(sql`
    select format('person %s was acknowledged and is not there', s.id) as said
    from unnest(${[...people]}::uuid[]) as s (id)
    where not exists (select from "user".people p where p.id = s.id)`);
}

function unaskedPeople(sql: Sql, { emails }: AttemptedCalls): Promise<string[]> {
  return told(sql`
    select format('person %s (%s) was never asked for', id, email) as said
    from "user".people where role <> 'ops' and email <> all (${[...emails]}::text[])`);
}

/** Trips and quotes stand for a key that somebody sent; one key made one of them. */
function unaskedCreations(sql: Sql, { keys }: AttemptedCalls): Promise<string[]> {
  return told(sql`
    with asked as (select unnest(${[...keys]}::text[]) as key),
    made as (
      select 'trip' as what, key, response->>'id' as id from trip.idempotency
      union all
      select 'quote or card', key, response->>'id' from payment.idempotency)
    select format('%s %s was made under the key %s, which nobody sent', what, id, key) as said
    from made where not exists (select from asked where asked.key = made.key)
    union all
    select format('trip %s was made by no request', id)
    from trip.trips t where not exists (select from made where made.id = t.id::text)
    union all
    select format('quote %s was made by no request', id)
    from payment.quotes q where not exists (select from made where made.id = q.id::text)`);
}

/** Each step of a rider or a driver was asked for by one. */
function unaskedSteps(sql: Sql, { steps }: AttemptedCalls): Promise<string[]> {
  return told(sql`
    with asked as (select unnest(${[...steps]}::text[]) as step),
    done as (
      select trip_id, version, actor, to_status,
             case to_status when 'assigned' then 'accept' when 'requested' then 'decline' when 'arrived' then 'arrive'
                            when 'in_progress' then 'start' when 'completed' then 'complete'
                            when 'cancelled' then 'cancel' end as step
      from trip.trip_history where actor in ('rider', 'driver') and version > 1)
    select format('trip %s became %s by a %s at version %s, and nobody asked for that', trip_id, to_status, actor,
                  version) as said
    from done where not exists (select from asked where asked.step = done.trip_id || '/' || done.step)`);
}
