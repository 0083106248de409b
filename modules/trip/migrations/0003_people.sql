-- What rider and driver learn of one another. Older trips have none of it.
alter table trips
  add column rider_first_name text,
  add column rider_rating double precision,
  add column driver_name text,
  add column driver_rating double precision;

-- The stars that each person was ever given; one row a person who was rated.
create table person_ratings (
  person_id uuid primary key,
  ratings integer not null,
  stars integer not null,
  constraint person_ratings_range check (ratings >= 1 and stars between ratings and 5 * ratings)
);

insert into person_ratings (person_id, ratings, stars)
select person_id, count(*), sum(stars)
from (select driver_id as person_id, rating_by_rider as stars from trips where rating_by_rider is not null
      union all
      select rider_id, rating_by_driver from trips where rating_by_driver is not null) as given
group by person_id;
