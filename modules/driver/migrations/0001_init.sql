-- The truth about each driver's status; where he is lives in the position index. `version` rises by one
-- with each change and is the fence of every write, here and in the index.
create table drivers (
  id uuid primary key,
  version integer not null check (version >= 1),
  status text not null check (status in ('offline', 'available', 'held', 'on_trip')),
  -- The trip that holds him or that he drives.
  trip_id uuid,
  wants text not null check (wants in ('available', 'offline')),
  vehicle jsonb,
  -- What the newest known event of each of his trips says: [{tripId, version, phase, atMs, untilMs}].
  engagements jsonb not null,
  forgotten_until_ms bigint not null,
  offers_expire_at_ms bigint,
  updated_at_ms bigint not null,
  check ((status in ('held', 'on_trip')) = (trip_id is not null)),
  check (wants = 'offline' or vehicle is not null)
);
create index drivers_offers_expire on drivers (offers_expire_at_ms) where offers_expire_at_ms is not null;

-- One row for each version: what it changed, and who or what did it.
create table driver_history (
  driver_id uuid not null,
  version integer not null,
  from_status text not null,
  to_status text not null,
  cause text not null,
  trip_id uuid,
  at_ms bigint not null,
  primary key (driver_id, version)
);
