-- How old history is found.
create index driver_history_at on driver_history (at_ms);
