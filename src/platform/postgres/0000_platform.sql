-- An event exists because its row was committed with the change it tells of. Rows leave once the
-- broker has confirmed them.
create table outbox (
  id bigint generated always as identity primary key,
  event_id uuid not null,
  type text not null,
  subject text not null,
  time_ms bigint not null,
  traceparent text,
  data jsonb not null,
  -- Why the relay set the row aside: what it tells of breaks the contract. Null in all others.
  refused text
)
-- Rows live for milliseconds, so nearly all that was ever written is dead: vacuum by count, not by a
-- share of the table, since reading the head of the queue slows with every dead row in front of it.
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- Whose turn it is to publish the outbox: one relay at a time, so that events of one subject keep
-- their order whichever instance wrote them. `turn` rises with every change of hands.
create table outbox_lease (
  one boolean primary key default true check (one),
  holder uuid,
  until_ms bigint not null default 0,
  turn bigint not null default 0
);
insert into outbox_lease default values;

-- Which consumer has applied which event: written in the same statement as the effect.
create table inbox (
  consumer text not null,
  event_id uuid not null,
  at_ms bigint not null,
  primary key (consumer, event_id)
);
create index inbox_at on inbox (at_ms);

-- What a POST that creates has answered, by who asked and the key they chose.
create table idempotency (
  person_id uuid not null,
  key text not null,
  fingerprint text not null,
  -- Not jsonb, which sorts the fields: a repeated request is answered byte for byte as the first.
  response json not null,
  at_ms bigint not null,
  primary key (person_id, key)
);
create index idempotency_at on idempotency (at_ms);
