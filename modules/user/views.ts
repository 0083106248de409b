import { timestamp } from '@contracts/common.ts';
import type { Person, Tokens } from '@contracts/people.ts';
import type { TokenPair } from './sessions.ts';
import type { Account } from './store/account.ts';

export function showPerson({ id, email, name, phone, role, createdAtMs }: Account): Person {
  return { id, email, name, phone, role, createdAt: timestamp(createdAtMs) };
}

export function showTokens({ access, refresh }: TokenPair): Tokens {
  return {
    accessToken: access.token,
    accessExpiresAt: timestamp(access.expiresAtMs),
    refreshToken: refresh.token,
    refreshExpiresAt: timestamp(refresh.expiresAtMs),
  };
}
