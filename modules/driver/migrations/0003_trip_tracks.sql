-- Where a driver was while on a trip: kept apart from all else, read by trip, swept by age.
create table trip_tracks (
  trip_id uuid not null,
  recorded_at_ms bigint not null,
  driver_id uuid not null,
  lat double precision not null,
  lng double precision not null,
  primary key (trip_id, recorded_at_ms)
);
create index trip_tracks_at on trip_tracks (recorded_at_ms);
