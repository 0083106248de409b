import { canonicalEmail } from '@contracts/email.ts';
import type { PersonId } from '@contracts/ids.ts';
import type { Log } from '@platform/log.ts';
import type { UserStore } from '../store/store.ts';

const rowsMax = 500;

/**
 * Rewrites the emails of old accounts in the canonical spelling. If two accounts have the same address, the
 * second one keeps its spelling and can be found only by its id: operators settle it with the person.
 */
export async function canonicaliseEmails(
  store: Pick<UserStore, 'findNonCanonicalEmails' | 'setCanonicalEmail'>,
  log: Log,
): Promise<void> {
  let after: PersonId | null = null;
  for (;;) {
    const rows = await store.findNonCanonicalEmails(after, rowsMax);
    for (const { id, email } of rows) {
      const canonical = canonicalEmail(email);
      if (canonical === undefined) log.warn({ personId: id }, 'account has no valid email');
      else if (!(await store.setCanonicalEmail({ id, email: canonical })))
        log.warn({ personId: id }, 'two accounts have the same email');
      after = id;
    }
    if (rows.length < rowsMax) return;
  }
}
