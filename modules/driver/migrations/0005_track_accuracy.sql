-- How inaccurate the phone said that the point is; null where it did not say.
alter table trip_tracks add column accuracy_metres real;
