import { formatTimestamp } from '@contracts/common.ts';
import type { Person, Tokens } from '@contracts/people.ts';
import type { TokenPair } from './sessions/login-sessions.ts';
import type { Account } from './store/account.ts';

export function personView({ id, email, name, phone, role, createdAtMs }: Account): Person {
  return { id, email, name, phone, role, createdAt: formatTimestamp(createdAtMs) };
}

export function tokensView({ access, refresh }: TokenPair): Tokens {
  return {
    accessToken: access.token,
    accessExpiresAt: formatTimestamp(access.expiresAtMs),
    refreshToken: refresh.token,
    refreshExpiresAt: formatTimestamp(refresh.expiresAtMs),
  };
}
