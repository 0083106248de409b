-- The simulated payment provider's own memory. Only its adapter reads and writes it: to the rest of the
-- context the provider is somebody else, reached over a wire that may break.
create table provider_charges (
  idempotency_key text primary key,
  operation text not null check (operation in ('authorise', 'capture', 'refund')),
  -- The caller's name for what is paid; the provider makes nothing of it.
  reference text not null,
  ref uuid not null unique,
  -- The authorisation that a capture takes, the capture that a refund gives back.
  of_ref uuid,
  token text not null,
  currency text not null,
  amount_minor bigint not null,
  outcome text not null check (outcome in ('ok', 'declined')),
  reason text,
  -- How often the same key came.
  calls integer not null default 1,
  at_ms bigint not null
);
create index provider_charges_by_reference on provider_charges (reference);
