create function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'rows of % never change', tg_table_name;
end $$;

create table payment_methods (
  id uuid primary key,
  rider_id uuid not null,
  kind text not null check (kind in ('card')),
  -- The provider's name for the card.
  token text not null,
  label text not null,
  created_at_ms bigint not null
);
create index payment_methods_of_rider on payment_methods (rider_id, created_at_ms desc, id desc);

-- A promise: what it says binds, so it never changes.
create table quotes (
  id uuid primary key,
  rider_id uuid not null,
  product text not null,
  pickup_lat double precision not null,
  pickup_lng double precision not null,
  dropoff_lat double precision not null,
  dropoff_lng double precision not null,
  distance_metres integer not null,
  duration_seconds integer not null,
  currency text not null check (currency in ('VND', 'USD')),
  fare_minor bigint not null check (fare_minor > 0),
  lines jsonb not null,
  payment_method_id uuid not null references payment_methods,
  created_at_ms bigint not null,
  expires_at_ms bigint not null
);
create index quotes_by_expiry on quotes (expires_at_ms);
create trigger quotes_never_change before update on quotes for each row execute function refuse_change();

create table payments (
  id uuid primary key,
  trip_id uuid not null unique,
  rider_id uuid not null,
  driver_id uuid not null,
  -- No foreign key: a trip that names a method we do not know is a payment that fails, not an event that can't be handled.
  payment_method_id uuid not null,
  status text not null check (status in ('none', 'authorised', 'captured', 'failed', 'refunded')),
  -- Rises by one with each row of the history.
  version integer not null check (version >= 1),
  currency text not null check (currency in ('VND', 'USD')),
  amount_minor bigint not null check (amount_minor > 0),
  -- As agreed when the trip ended: a later change of the percentage does not reach back.
  commission_minor bigint not null check (commission_minor between 0 and amount_minor),
  refunded_minor bigint not null default 0 check (refunded_minor >= 0),
  -- Accepted, but not yet given back by the provider.
  refunding_minor bigint not null default 0 check (refunding_minor >= 0),
  failure_reason text,
  -- The provider's names for what it did.
  authorisation_ref text,
  capture_ref text,
  -- What the receipt shows of the ride.
  product text not null,
  distance_metres integer not null,
  duration_seconds integer not null,
  lines jsonb not null,
  completed_at_ms bigint not null,
  captured_at_ms bigint,
  -- When somebody is to go on with the charge. Whoever claims the row moves it past their lease, and
  -- raises the fence, so that a worker who comes back late can't put the charge off or give it up.
  timer_at_ms bigint,
  fence integer not null default 0,
  attempts integer not null default 0,
  created_at_ms bigint not null,
  updated_at_ms bigint not null,
  constraint payments_under_way_have_a_timer check ((status in ('none', 'authorised')) = (timer_at_ms is not null)),
  constraint payments_refunds_fit check (
    refunded_minor + refunding_minor <= case when status in ('captured', 'refunded') then amount_minor else 0 end
  ),
  constraint payments_refunded_in_full check ((status = 'refunded') = (refunded_minor = amount_minor)),
  constraint payments_failed_for_a_reason check ((status = 'failed') = (failure_reason is not null)),
  constraint payments_captured_once_at check ((status in ('captured', 'refunded')) = (captured_at_ms is not null))
);
create index payments_by_timer on payments (timer_at_ms) where timer_at_ms is not null;

create table payment_history (
  payment_id uuid not null references payments,
  version integer not null,
  from_status text,
  to_status text not null,
  reason text,
  at_ms bigint not null,
  primary key (payment_id, version)
);
create trigger payment_history_never_changes before update or delete on payment_history
  for each row execute function refuse_change();

create table refunds (
  id uuid primary key,
  payment_id uuid not null references payments,
  amount_minor bigint not null check (amount_minor > 0),
  reason text not null,
  requested_by uuid not null,
  status text not null check (status in ('pending', 'settled', 'failed')),
  provider_ref text,
  failure_reason text,
  timer_at_ms bigint,
  fence integer not null default 0,
  attempts integer not null default 0,
  created_at_ms bigint not null,
  updated_at_ms bigint not null,
  constraint refunds_under_way_have_a_timer check ((status = 'pending') = (timer_at_ms is not null))
);
create index refunds_by_timer on refunds (timer_at_ms) where timer_at_ms is not null;
create index refunds_of_payment on refunds (payment_id);

-- The ledger. Amounts are signed; positive is owed to the account.
create table transfers (
  id uuid primary key,
  kind text not null check (kind in ('capture', 'refund')),
  payment_id uuid not null references payments,
  refund_id uuid references refunds,
  at_ms bigint not null,
  constraint transfers_refund_is_named check ((kind = 'refund') = (refund_id is not null))
);
create unique index transfers_one_capture on transfers (payment_id) where kind = 'capture';
create unique index transfers_one_for_refund on transfers (refund_id) where refund_id is not null;
create index transfers_of_payment on transfers (payment_id);
create trigger transfers_never_change before update or delete on transfers
  for each row execute function refuse_change();

create table entries (
  transfer_id uuid not null references transfers,
  account text not null,
  currency text not null check (currency in ('VND', 'USD')),
  amount_minor bigint not null check (amount_minor <> 0),
  at_ms bigint not null,
  primary key (transfer_id, account)
);
create index entries_of_account on entries (account, at_ms desc, transfer_id desc) include (currency, amount_minor);
create trigger entries_never_change before update or delete on entries
  for each row execute function refuse_change();

-- All entries of a transfer come in one statement, so looking at what that statement wrote is enough:
-- one pass, where a deferred row trigger would sum the transfer anew for each of its rows.
create function refuse_unbalanced() returns trigger language plpgsql as $$
begin
  if exists (select from written group by transfer_id, currency having sum(amount_minor) <> 0) then
    raise exception 'a transfer does not sum to zero' using errcode = 'check_violation';
  end if;
  return null;
end $$;
create trigger entries_balance after insert on entries
  referencing new table as written for each statement execute function refuse_unbalanced();

-- Running balances, kept in the statement that writes the entries. Drivers' accounts only: a row for a
-- house account would be one lock that every capture of the system waits for.
create table account_balances (
  account text not null,
  currency text not null check (currency in ('VND', 'USD')),
  amount_minor bigint not null,
  primary key (account, currency)
);
