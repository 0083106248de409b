-- Who is banned logs in no more; their sessions end with the ban.
alter table people add column banned_at_ms bigint;
create index people_banned_at on people (banned_at_ms) where banned_at_ms is not null;

alter table sessions drop constraint sessions_revoked_for_check;
alter table sessions add constraint sessions_revoked_for_check
  check (revoked_for in ('logout', 'reuse', 'credentials_changed', 'banned'));
-- What verifiers ask for every second: the sessions that ended lately.
create index sessions_revoked_at on sessions (revoked_at_ms, id) where revoked_at_ms is not null;

-- The token that took this one's place is made from this one and the salt, so that a client whose
-- answer was lost gets the very same token again, which is kept nowhere.
alter table refresh_tokens add column successor_salt bytea, add column successor_hash bytea;

-- What operators did to people and keys, and why: only ever added to.
create table operator_actions (
  id uuid primary key,
  operator_id uuid not null references people (id),
  action text not null check (action in ('ban', 'unban', 'rotate_keys')),
  person_id uuid references people (id),
  reason text not null,
  at_ms bigint not null,
  constraint operator_actions_person_check check ((person_id is null) = (action = 'rotate_keys'))
);
create index operator_actions_person on operator_actions (person_id, at_ms);

-- Failed logins by account, address and both (digests): the generic cell rate algorithm's one
-- timestamp a key. A timestamp that has passed is as good as no row.
create table login_failures (
  key text primary key,
  arrival_ms double precision not null
);
create index login_failures_arrival on login_failures (arrival_ms);
