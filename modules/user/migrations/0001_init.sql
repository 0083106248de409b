-- Anyone with an account. `email` is kept in lower case: two spellings are one person.
create table people (
  id uuid primary key,
  email text not null,
  name text not null,
  phone text,
  role text not null check (role in ('rider', 'driver', 'ops')),
  password_hash text not null,
  created_at_ms bigint not null,
  updated_at_ms bigint not null,
  constraint people_email_key unique (email)
);

-- One login and every refresh token that stems from it (the family). Its end is the end of them all.
create table sessions (
  id uuid primary key,
  person_id uuid not null references people (id),
  created_at_ms bigint not null,
  -- The expiry of its newest refresh token: from then on the row can be swept.
  expires_at_ms bigint not null,
  revoked_at_ms bigint,
  revoked_for text check (revoked_for in ('logout', 'reuse', 'credentials_changed')),
  constraint sessions_revoked_check check ((revoked_at_ms is null) = (revoked_for is null))
);
create index sessions_person_live on sessions (person_id) where revoked_at_ms is null;
create index sessions_expires_at on sessions (expires_at_ms);

-- SHA-256 of each refresh token. A used one stays until it expires: that is how its reuse is noticed.
create table refresh_tokens (
  hash bytea primary key,
  session_id uuid not null references sessions (id) on delete cascade,
  issued_at_ms bigint not null,
  expires_at_ms bigint not null,
  used_at_ms bigint
);
create index refresh_tokens_session on refresh_tokens (session_id);
create index refresh_tokens_expires_at on refresh_tokens (expires_at_ms);

-- The keys that access tokens are signed with. The generation is the guard: instances that start (or
-- rotate) at the same moment all try to make the same one, and all use the one that came first.
create table signing_keys (
  generation integer primary key check (generation > 0),
  kid text not null unique,
  -- The public point and the sealed private seed (AES-256-GCM: iv, tag, ciphertext).
  public_x text not null,
  sealed_seed bytea not null,
  created_at_ms bigint not null,
  -- Published from its making, signed with from here on: verifiers know it before they meet it.
  active_from_ms bigint not null,
  retired_at_ms bigint
);
