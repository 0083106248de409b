import type { Sql } from '@platform/postgres/database.ts';

export interface TripInvariantOptions {
  /**
   * The time by the system's clock. With it, a trip whose timer is long overdue is a violation. Omit it while the
   * service is stopped on purpose.
   */
  nowMs?: number;
  /** True when no event has left the outbox yet, so that each transition must have exactly one event in it. */
  isOutboxComplete?: boolean;
}

// Some seconds after faults have ended, every due timer must have been processed.
const overdueMs = 15_000;

/**
 * Checks what must hold in the trip context at any time. Returns one sentence for each violation. The checks follow
 * the rules, not the code that implements them. The search_path of `sql` is the trip schema.
 */
export async function findTripViolations(sql: Sql, options: TripInvariantOptions = {}): Promise<string[]> {
  const { nowMs, isOutboxComplete = false } = options;
  const found = await Promise.all([
    peopleWithSeveralTrips(sql),
    severalAssignments(sql),
    brokenHistories(sql),
    illegalTransitions(sql),
    overdueTrips(sql, nowMs),
    wrongOutboxEvents(sql),
    ...(isOutboxComplete ? [transitionsWithoutEvent(sql)] : []),
  ]);
  return found.flat();
}

async function violationsOf(rows: PromiseLike<Iterable<{ violation?: string }>>): Promise<string[]> {
  return [...(await rows)].map(({ violation }) => violation ?? '');
}

/** At most one active trip for each driver and rider. */
function peopleWithSeveralTrips(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    with active as (
      select * from trips where status in ('requested', 'offered', 'assigned', 'arrived', 'in_progress'))
    select format('rider %s has %s active trips', rider_id, count(*)) as violation
    from active group by rider_id having count(*) > 1
    union all
    select format('driver %s has %s active trips and offers', driver, count(*))
    from active, lateral (values (driver_id), (offered_driver_id)) as one (driver)
    where driver is not null group by driver having count(*) > 1`);
}

/** At most one assignment for each search, each to a different driver. The last one, unless it was revoked, is to the driver of the trip. */
function severalAssignments(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    with assignments as (
      select trip_id, count(*) filter (where to_status = 'assigned') as made,
             count(distinct actor_id) filter (where to_status = 'assigned') as drivers,
             count(*) filter (where to_status = 'requested' and from_status in ('assigned', 'arrived', 'in_progress')) as taken_back,
             (array_agg(actor_id order by version desc) filter (where to_status = 'assigned'))[1] as last_driver_id
      from trip_history group by trip_id)
    select format('trip %s was assigned %s times to %s drivers, replaced %s times, last assigned to %s, and has driver %s',
                  t.id, made, drivers, taken_back, last_driver_id, t.driver_id) as violation
    from trips t join assignments on trip_id = t.id
    where made <> drivers
       or made - taken_back <> (t.driver_id is not null)::int
       or t.driver_id <> last_driver_id`);
}

/** Versions have no gaps, each transition starts at the status where the previous one ended, and the last one matches the trip. */
function brokenHistories(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    select format('trip %s is at version %s in %s, its history has %s rows from %s to %s', t.id, t.version, t.status,
                  count(h.version), min(h.version), max(h.version)) as violation
    from trips t left join trip_history h on h.trip_id = t.id
    group by t.id
    having count(h.version) <> t.version or min(h.version) <> 1 or max(h.version) <> t.version
        or (array_agg(h.to_status order by h.version desc))[1] <> t.status
    union all
    select format('history of trip %s, which does not exist', trip_id)
    from trip_history h where not exists (select from trips t where t.id = h.trip_id)
    union all
    select format('trip %s: version %s starts in %s, the previous version ended in %s', trip_id, version, from_status, before)
    from (select *, lag(to_status) over (partition by trip_id order by version) as before from trip_history) h
    where from_status is distinct from before`);
}

/** Only these transitions happen, each by these actors. */
function illegalTransitions(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    select format('trip %s went from %s to %s by %s', trip_id, from_status, to_status, actor) as violation
    from trip_history
    where (coalesce(from_status, ''), to_status, actor) not in (
      ('', 'requested', 'rider'),
      ('requested', 'offered', 'system'), ('requested', 'unfulfilled', 'system'), ('requested', 'cancelled', 'rider'),
      ('requested', 'cancelled', 'ops'),
      ('offered', 'assigned', 'driver'), ('offered', 'requested', 'driver'), ('offered', 'requested', 'system'),
      ('offered', 'cancelled', 'rider'), ('offered', 'cancelled', 'ops'), ('requested', 'cancelled', 'system'),
      ('offered', 'cancelled', 'system'),
      ('assigned', 'arrived', 'driver'), ('assigned', 'cancelled', 'rider'), ('assigned', 'cancelled', 'driver'),
      ('assigned', 'cancelled', 'system'), ('assigned', 'cancelled', 'ops'),
      ('assigned', 'requested', 'system'), ('arrived', 'requested', 'system'),
      ('offered', 'requested', 'ops'), ('assigned', 'requested', 'ops'), ('arrived', 'requested', 'ops'),
      ('in_progress', 'requested', 'ops'),
      ('arrived', 'in_progress', 'driver'), ('arrived', 'cancelled', 'rider'), ('arrived', 'cancelled', 'driver'),
      ('arrived', 'cancelled', 'system'), ('arrived', 'cancelled', 'ops'),
      ('in_progress', 'completed', 'driver'), ('in_progress', 'completed', 'rider'), ('in_progress', 'completed', 'ops'),
      ('in_progress', 'completed', 'system'), ('in_progress', 'cancelled', 'ops'))`);
}

/** Every active trip has a timer, and no timer stays due. */
function overdueTrips(sql: Sql, nowMs: number | undefined): Promise<string[]> {
  return violationsOf(sql`
    select format('trip %s is %s and has no timer', id, status) as violation
    from trips
    where status in ('requested', 'offered', 'assigned', 'arrived', 'in_progress') and timer_at_ms is null
    union all
    select format('trip %s is %s, its timer is overdue by %s ms', id, status, ${nowMs ?? 0}::bigint - timer_at_ms)
    from trips where timer_at_ms < ${nowMs === undefined ? 0 : nowMs - overdueMs}::bigint`);
}

/** No event is in the outbox twice, and each event matches a transition. */
function wrongOutboxEvents(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    select format('event %s (%s) reports trip %s as %s at version %s', event_id, type, subject,
                  data->>'status', data->>'version') as violation
    from outbox o
    where not exists (
      select from trip_history h
      where h.trip_id::text = o.subject and h.version = (o.data->>'version')::int
        and h.to_status = o.data->>'status')
    union all
    select format('trip %s, version %s has %s events', subject, data->>'version', count(*))
    from outbox group by subject, data->>'version' having count(*) > 1`);
}

/** Each transition has its event in the outbox, as long as none was published. */
function transitionsWithoutEvent(sql: Sql): Promise<string[]> {
  return violationsOf(sql`
    select format('trip %s, version %s has no event', trip_id, version) as violation
    from trip_history h
    where not exists (
      select from outbox o where o.subject = h.trip_id::text and (o.data->>'version')::int = h.version)`);
}
