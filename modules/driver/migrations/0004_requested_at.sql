-- When the driver last asked for the status: an event that signs them out counts against earlier requests only.
alter table drivers add column wants_at_ms bigint not null default 0;
