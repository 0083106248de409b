import type { Metrics } from '@platform/metrics.ts';
import { problem } from '@platform/problems.ts';

export interface Passwords {
  /** A PHC string. Throws `service.unavailable` when too many wait. */
  hash(password: string): Promise<string>;
  /**
   * Whether the password is the one behind `hash`; takes as long without a hash (no such account) as
   * with one. Throws `service.unavailable` when too many wait.
   */
  verify(password: string, hash: string | undefined): Promise<boolean>;
}

export interface PasswordsOptions {
  metrics: Metrics;
  parallelMax: number;
  waitingMax: number;
}

// OWASP's second choice for argon2id: 19 MiB, two passes, one lane; about 70 ms on a 2026 cloud core.
const argon2id = { algorithm: 'argon2id', memoryCost: 19_456, timeCost: 2 } as const;

/** A hash of nothing anyone knows, with the parameters above: what an unknown account is verified against. */
export const unknownAccountHash =
  '$argon2id$v=19$m=19456,t=2,p=1$fRThlji3HpGphqENf/rB1+8E1/bacF+zPoU6rXBu+XY$7eje23wilT4XgX8+rHTPfdOspEB9VQYpUQDU9Q5WL38';

const retryAfterSeconds = 2;

/**
 * Each hash takes a core and 19 MiB for as long as it runs, so a burst of logins would starve all else:
 * a few run at a time, a bounded line waits, the rest hear 503 at once.
 */
export function createPasswords({ metrics, parallelMax, waitingMax }: PasswordsOptions): Passwords {
  const waiting: (() => void)[] = [];
  let running = 0;
  metrics.gauge('user_password_hashes_waiting', () => waiting.length);

  return {
    hash: (password) => inTurn(() => Bun.password.hash(typed(password), argon2id)),
    async verify(password, hash) {
      const same = await inTurn(() => Bun.password.verify(typed(password), hash ?? unknownAccountHash));
      return same && hash !== undefined;
    },
  };

  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (running >= parallelMax) await queue();
    else running++;
    try {
      return await work();
    } finally {
      // The turn is handed on, so that nobody who comes in between can take it.
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  }

  function queue(): Promise<void> {
    if (waiting.length >= waitingMax) {
      metrics.count('user_password_hashes_refused_total');
      throw problem('service.unavailable', { retryAfterSeconds });
    }
    return new Promise((resolve) => waiting.push(resolve));
  }
}

/** One password however the keyboard composed its letters (RFC 8265 asks for NFC). */
const typed = (password: string): string => password.normalize('NFC');
