import type postgres from 'postgres';
import type { AcknowledgedFacts, AttemptedCalls, ClientHistory } from './client-history.ts';

type Sql = postgres.Sql;

/**
 * Checks acknowledged ⊆ final ⊆ attempted. Returns one sentence for everything that was acknowledged to a
 * client and differs in the database, and for everything in the database that no client requested.
 */
export async function checkHistory(sql: Sql, history: ClientHistory): Promise<string[]> {
  const { acknowledged, attempted } = history;
  const found = await Promise.all([
    findLostTrips(sql, acknowledged),
    findLostQuotes(sql, acknowledged),
    findLostReceipts(sql, acknowledged),
    findLostPeople(sql, acknowledged),
    findUnrequestedPeople(sql, attempted),
    findUnrequestedCreations(sql, attempted),
    findUnrequestedSteps(sql, attempted),
  ]);
  return found.flat();
}

async function queryViolations(rows: PromiseLike<Iterable<{ violation?: string }>>): Promise<string[]> {
  return [...(await rows)].map(({ violation }) => violation ?? '');
}

/** Each version of a trip that was shown to a client is in its history, with that status. */
function findLostTrips(sql: Sql, { trips }: AcknowledgedFacts): Promise<string[]> {
  const shown = [...trips.values()];
  return queryViolations(sql`
    select format('trip %s was acknowledged as %s at version %s, its history says %s', s.id, s.status, s.version,
                  coalesce(h.to_status, 'nothing')) as violation
    from unnest(${shown.map(({ id }) => id)}::uuid[], ${shown.map(({ version }) => version)}::int[],
                ${shown.map(({ status }) => status)}::text[]) as s (id, version, status)
    left join trip.trip_history h on h.trip_id = s.id and h.version = s.version
    where h.to_status is distinct from s.status`);
}

function findLostQuotes(sql: Sql, { quotes, cards }: AcknowledgedFacts): Promise<string[]> {
  return queryViolations(sql`
    select format('quote %s was acknowledged with a fare of %s, stored is %s', s.id, s.fare, q.fare_minor) as violation
    from unnest(${[...quotes.keys()]}::uuid[], ${[...quotes.values()]}::bigint[]) as s (id, fare)
    left join payment.quotes q on q.id = s.id
    where q.fare_minor is distinct from s.fare
    union all
    select format('card %s was acknowledged and does not exist', s.id)
    from unnest(${[...cards]}::uuid[]) as s (id)
    where not exists (select from payment.payment_methods m where m.id = s.id)`);
}

/** The status of a receipt may have advanced since it was shown, but never gone back. */
function findLostReceipts(sql: Sql, { receipts }: AcknowledgedFacts): Promise<string[]> {
  const shown = [...receipts.values()];
  return queryViolations(sql`
    select format('payment %s was shown as %s of %s, it is %s of %s', s.id, s.status, s.total, p.status,
                  p.amount_minor) as violation
    from unnest(${shown.map(({ paymentId }) => paymentId)}::uuid[], ${shown.map(({ status }) => status)}::text[],
                ${shown.map(({ total }) => total.amountMinor)}::bigint[]) as s (id, status, total)
    left join payment.payments p on p.id = s.id
    where p.id is null or p.amount_minor <> s.total
       or case s.status
            when 'captured' then p.status not in ('captured', 'refunded')
            when 'failed' then p.status <> 'failed'
            when 'authorised' then p.status = 'none'
            else false
          end`);
}

function findLostPeople(sql: Sql, { people }: AcknowledgedFacts): Promise<string[]> {
  return queryViolations(sql`
    select format('person %s was acknowledged and does not exist', s.id) as violation
    from unnest(${[...people]}::uuid[]) as s (id)
    where not exists (select from "user".people p where p.id = s.id)`);
}

function findUnrequestedPeople(sql: Sql, { emails }: AttemptedCalls): Promise<string[]> {
  return queryViolations(sql`
    select format('person %s (%s) was never requested', id, email) as violation
    from "user".people where role <> 'ops' and email <> all (${[...emails]}::text[])`);
}

/** Each trip and quote belongs to an idempotency key that a client sent; one key created one of them. */
function findUnrequestedCreations(sql: Sql, { keys }: AttemptedCalls): Promise<string[]> {
  return queryViolations(sql`
    with requested as (select unnest(${[...keys]}::text[]) as key),
    created as (
      select 'trip' as what, key, response->>'id' as id from trip.idempotency
      union all
      select 'quote or card', key, response->>'id' from payment.idempotency)
    select format('%s %s was created under the key %s, which nobody sent', what, id, key) as violation
    from created where not exists (select from requested where requested.key = created.key)
    union all
    select format('trip %s was created by no request', id)
    from trip.trips t where not exists (select from created where created.id = t.id::text)
    union all
    select format('quote %s was created by no request', id)
    from payment.quotes q where not exists (select from created where created.id = q.id::text)`);
}

/** Each step by a rider or a driver was requested by one. */
function findUnrequestedSteps(sql: Sql, { steps }: AttemptedCalls): Promise<string[]> {
  return queryViolations(sql`
    with requested as (select unnest(${[...steps]}::text[]) as step),
    done as (
      select trip_id, version, actor, to_status,
             case to_status when 'assigned' then 'accept' when 'requested' then 'decline' when 'arrived' then 'arrive'
                            when 'in_progress' then 'start' when 'completed' then 'complete'
                            when 'cancelled' then 'cancel' end as step
      from trip.trip_history where actor in ('rider', 'driver') and version > 1)
    select format('trip %s became %s by a %s at version %s, and nobody requested that', trip_id, to_status, actor,
                  version) as violation
    from done where not exists (select from requested where requested.step = done.trip_id || '/' || done.step)`);
}
