import type { Database } from '@platform/postgres/database.ts';
import { createEmailStore } from './emails.ts';
import { createLoginFailureStore } from './login-failures.ts';
import { createOperatorStore } from './operators.ts';
import { createPeopleStore } from './people.ts';
import { createRevocationStore } from './revocations.ts';
import { createSessionStore } from './sessions.ts';
import { createSigningKeyStore } from './signing-keys.ts';
import { createSweepStore } from './sweeps.ts';

export type UserStore = ReturnType<typeof createUserStore>;

/** All reads go to the primary: a person who has just registered must be able to log in. */
export function createUserStore({ primary }: Database) {
  return {
    ...createPeopleStore(primary),
    ...createSessionStore(primary),
    ...createSigningKeyStore(primary),
    ...createSweepStore(primary),
    ...createRevocationStore(primary),
    ...createOperatorStore(primary),
    ...createLoginFailureStore(primary),
    ...createEmailStore(primary),
  };
}
