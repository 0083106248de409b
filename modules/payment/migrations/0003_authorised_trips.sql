-- A payment now begins when its trip is requested: the card is authorised beside dispatch, the driver and
-- the final amount follow when the trip is completed.

alter table payments
  -- What the trip wants of the payment: `hold` until the trip ends.
  add column intent text not null default 'charge' check (intent in ('hold', 'charge', 'void')),
  -- What the current authorisation attempt asks for; never less than what is captured.
  add column authorise_minor bigint not null default 0 check (authorise_minor >= 0),
  -- The number in the provider keys of the current attempt. It rises when an attempt is known to have failed,
  -- or when its key is too old to be sent again and the provider lists nothing of it.
  add column attempt integer not null default 1 check (attempt >= 1),
  -- When the open key of the attempt was first sent and last sent; null while no outcome is awaited.
  add column key_at_ms bigint,
  add column sent_at_ms bigint,
  -- Since when the rider owes this payment; null unless a charge of a completed trip has failed.
  add column debt_since_ms bigint,
  alter column commission_minor set default 0,
  alter column driver_id drop not null,
  alter column completed_at_ms drop not null,
  drop constraint payments_status_check,
  drop constraint payments_amount_minor_check,
  drop constraint payments_under_way_have_a_timer,
  drop constraint payments_refunded_in_full,
  drop constraint payments_failed_for_a_reason;

-- Trips that were completed and never charged are debts of their riders from here on.
update payments
set authorise_minor = amount_minor,
    key_at_ms = case when status in ('none', 'authorised') then updated_at_ms end,
    sent_at_ms = case when status in ('none', 'authorised') then updated_at_ms end,
    attempt = case when status = 'failed' then 2 else 1 end,
    debt_since_ms = case when status = 'failed' then updated_at_ms end,
    timer_at_ms = case when status = 'failed' then updated_at_ms else timer_at_ms end,
    authorisation_ref = case when status = 'failed' then null else authorisation_ref end;

alter table payments
  add constraint payments_status check (
    status in ('none', 'authorised', 'declined', 'captured', 'failed', 'refunded', 'voided')),
  add constraint payments_amount check (amount_minor >= 0),
  -- What the provider has to be asked for is never left without a timer.
  add constraint payments_pending_have_a_timer check (
    case
      when status = 'none' then timer_at_ms is not null
      when status in ('authorised', 'declined') and intent = 'charge' then timer_at_ms is not null
      when status = 'authorised' and intent = 'void' then timer_at_ms is not null
      when status in ('captured', 'refunded', 'voided') then timer_at_ms is null
      else true
    end),
  add constraint payments_intent check (
    (intent = 'charge') = (completed_at_ms is not null)
    and (intent = 'charge') = (driver_id is not null)
    and (status not in ('captured', 'refunded', 'failed') or intent = 'charge')
    and (status <> 'voided' or intent = 'void')),
  add constraint payments_refunded_in_full check (
    case status when 'refunded' then refunded_minor = amount_minor and amount_minor > 0
                when 'captured' then refunded_minor < amount_minor or amount_minor = 0
                else refunded_minor = 0 end),
  add constraint payments_failed_for_a_reason check (
    (status in ('failed', 'declined')) = (failure_reason is not null)),
  add constraint payments_debt check (
    (status <> 'failed' or debt_since_ms is not null)
    and (debt_since_ms is null or (intent = 'charge' and status not in ('captured', 'refunded', 'voided')))),
  alter column intent drop default;

create index payments_owed_by_rider on payments (rider_id) where debt_since_ms is not null;
create index payments_of_rider on payments (rider_id, created_at_ms desc, id desc);

alter table quotes drop constraint quotes_fare_minor_check, add constraint quotes_fare check (fare_minor >= 0);

-- The driver is credited when the trip is completed, against the rider's account; a capture settles that account.
alter table transfers drop constraint transfers_kind_check,
  add constraint transfers_kind check (kind in ('fare', 'capture', 'refund'));
create unique index transfers_one_fare on transfers (payment_id) where kind = 'fare';

with posted as (
  insert into transfers (id, kind, payment_id, at_ms)
  select gen_random_uuid(), 'fare', id, completed_at_ms
  from payments where status in ('none', 'authorised', 'failed') and amount_minor > 0
  returning id, payment_id, at_ms
), entered as (
  insert into entries (transfer_id, account, currency, amount_minor, at_ms)
  select posted.id, posting.account, payments.currency, posting.amount_minor, posted.at_ms
  from posted join payments on payments.id = posted.payment_id, lateral (values
    ('rider:' || rider_id, -amount_minor),
    ('driver:' || driver_id, amount_minor - commission_minor),
    ('platform:commission', commission_minor)) as posting (account, amount_minor)
  where posting.amount_minor <> 0
  returning account, currency, amount_minor
)
insert into account_balances (account, currency, amount_minor)
select account, currency, sum(amount_minor) from entered
where account not like 'platform:%' group by account, currency
on conflict (account, currency) do update set amount_minor = account_balances.amount_minor + excluded.amount_minor;

-- Refunds, too, are sent under a new key once theirs is too old.
alter table refunds
  add column attempt integer not null default 1 check (attempt >= 1),
  add column key_at_ms bigint;
update refunds set key_at_ms = created_at_ms where status = 'pending';

-- What the provider holds or has taken for a payment that does not need it: released, or given back. An
-- authorisation that another attempt has replaced, a capture that was reported after the payment was settled.
create table reversals (
  id uuid primary key,
  payment_id uuid not null references payments,
  kind text not null check (kind in ('void', 'refund')),
  -- The provider's name for what is reversed: once each, however often it is reported.
  provider_ref text not null unique,
  currency text not null check (currency in ('VND', 'USD')),
  amount_minor bigint not null check (amount_minor > 0),
  status text not null check (status in ('pending', 'done', 'refused')),
  attempt integer not null default 1 check (attempt >= 1),
  key_at_ms bigint,
  timer_at_ms bigint,
  fence integer not null default 0,
  attempts integer not null default 0,
  created_at_ms bigint not null,
  updated_at_ms bigint not null,
  constraint reversals_pending_have_a_timer check ((status = 'pending') = (timer_at_ms is not null))
);
create index reversals_by_timer on reversals (timer_at_ms) where timer_at_ms is not null;
create index reversals_of_payment on reversals (payment_id);

-- The simulated provider forgets idempotency keys as real ones do; what it did stays listed under `label`.
alter table provider_charges
  drop constraint provider_charges_pkey,
  drop constraint provider_charges_operation_check,
  alter column idempotency_key drop not null,
  add constraint provider_charges_by_key unique (idempotency_key),
  add column label text,
  add constraint provider_charges_operation check (operation in ('authorise', 'capture', 'refund', 'void'));
update provider_charges set label = idempotency_key;
alter table provider_charges alter column label set not null;
create index provider_charges_by_of_ref on provider_charges (of_ref) where of_ref is not null;
