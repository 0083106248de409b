import type { Database } from '@platform/postgres/database.ts';
import { createEmailStore } from './emails.ts';
import { createSigningKeyStore } from './keys.ts';
import { createLoginFailureStore } from './login-failures.ts';
import { createOperatorStore } from './operators.ts';
import { createPeopleStore } from './people.ts';
import { createSessionStore } from './sessions.ts';
import { createSweepStore } from './sweep.ts';
import { createTrustStore } from './trust.ts';

export type UserStore = ReturnType<typeof createUserStore>;

/** Reads go to the primary: who has just registered must be able to log in. */
export function createUserStore({ primary }: Database) {
  return {
    ...createPeopleStore(primary),
    ...createSessionStore(primary),
    ...createSigningKeyStore(primary),
    ...createSweepStore(primary),
    ...createTrustStore(primary),
    ...createOperatorStore(primary),
    ...createLoginFailureStore(primary),
    ...createEmailStore(primary),
  };
}
