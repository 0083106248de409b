create table trips (
  id uuid primary key,
  version integer not null check (version >= 1),
  status text not null,
  rider_id uuid not null,

  -- The open offer, and everyone who ever got one.
  offered_driver_id uuid,
  offer_expires_at_ms bigint,
  asked_driver_ids uuid[] not null default '{}',
  -- Who drives. The vehicle is copied at the offer: it is what the rider looks for in the street.
  driver_id uuid,
  vehicle jsonb,

  quote_id uuid not null,
  payment_method_id uuid not null,
  product text not null,
  pickup_lat double precision not null,
  pickup_lng double precision not null,
  dropoff_lat double precision not null,
  dropoff_lng double precision not null,
  distance_metres integer not null,
  duration_seconds integer not null,
  fare_minor bigint not null,
  fare_currency text not null,
  fare_lines jsonb not null,

  start_code text not null,
  wrong_start_codes integer not null default 0,
  start_blocked_until_ms bigint not null default 0,

  ended_by text,
  end_reason text,
  rating_by_rider smallint check (rating_by_rider between 1 and 5),
  rating_by_driver smallint check (rating_by_driver between 1 and 5),
  comment_by_rider text,
  comment_by_driver text,

  search_until_ms bigint not null,
  timer_at_ms bigint,
  created_at_ms bigint not null,
  updated_at_ms bigint not null,

  constraint trips_status check (status in ('requested', 'offered', 'assigned', 'arrived', 'in_progress',
                                            'completed', 'cancelled', 'unfulfilled')),
  -- A trip that goes on always has something that will wake it.
  constraint trips_timer check ((status in ('completed', 'cancelled', 'unfulfilled')) = (timer_at_ms is null)),
  constraint trips_end check ((status in ('completed', 'cancelled', 'unfulfilled')) = (ended_by is not null)),
  constraint trips_offer check (
    (status = 'offered') = (offered_driver_id is not null)
    and (status = 'offered') = (offer_expires_at_ms is not null)
    and (offered_driver_id is null or offered_driver_id = any (asked_driver_ids))
  ),
  constraint trips_driver check (
    case status
      when 'assigned' then driver_id is not null
      when 'arrived' then driver_id is not null
      when 'in_progress' then driver_id is not null
      when 'completed' then driver_id is not null
      when 'cancelled' then true
      else driver_id is null
    end
    and (coalesce(driver_id, offered_driver_id) is null) = (vehicle is null)
  ),
  constraint trips_ratings check (status = 'completed' or (rating_by_rider is null and rating_by_driver is null))
);

-- What the database decides, whatever the services believe.
create unique index trips_one_per_quote on trips (quote_id);
create unique index trips_one_per_rider on trips (rider_id)
  where status in ('requested', 'offered', 'assigned', 'arrived', 'in_progress');
-- A driver has one open offer or one trip, never both.
create unique index trips_one_per_driver on trips (coalesce(driver_id, offered_driver_id))
  where status in ('offered', 'assigned', 'arrived', 'in_progress');

create index trips_due on trips (timer_at_ms) where timer_at_ms is not null;
create index trips_of_rider on trips (rider_id, created_at_ms, id);
create index trips_of_driver on trips (driver_id, updated_at_ms, id) where driver_id is not null;
create index trips_by_status on trips (status, created_at_ms);

-- Every transition, with a gapless version: who did it and why.
create table trip_history (
  trip_id uuid not null,
  version integer not null,
  from_status text,
  to_status text not null,
  actor text not null,
  actor_id uuid,
  reason text,
  at_ms bigint not null,
  primary key (trip_id, version)
);

-- Why this driver was asked: the candidates, their costs and the choice, for each offer.
create table trip_decisions (
  trip_id uuid not null,
  version integer not null,
  decision jsonb not null,
  at_ms bigint not null,
  primary key (trip_id, version)
);
