-- An event exists because its row was committed with the change it tells of. Rows leave once the
-- broker has confirmed them.
create table outbox (
  id bigint generated always as identity primary key,
  event_id uuid not null,
  type text not null,
  subject text not null,
  time_ms bigint not null,
  traceparent text,
  data jsonb not null
);

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
  response jsonb not null,
  at_ms bigint not null,
  primary key (person_id, key)
);
create index idempotency_at on idempotency (at_ms);
