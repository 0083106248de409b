-- How old history is found: by the row that ended its trip, one entry a trip, none for a trip under way.
create index trip_history_ended on trip_history (at_ms)
  where to_status in ('completed', 'cancelled', 'unfulfilled');
create index trip_decisions_at on trip_decisions (at_ms);
