import type { Metrics } from '@platform/metrics.ts';
import { problem } from '@platform/problems.ts';

export interface Passwords {
  /** Returns the hash as a PHC string. Throws `service.unavailable` when too many calls wait. */
  hash(password: string): Promise<string>;
  /**
   * Whether the password matches `hash`. Takes the same time when there is no hash, because the account
   * does not exist. Throws `service.unavailable` when too many calls wait.
   */
  verify(password: string, hash: string | undefined): Promise<boolean>;
}

export interface PasswordsOptions {
  metrics: Metrics;
  parallelMax: number;
  waitingMax: number;
}

// The second of OWASP's recommended settings for argon2id: 19 MiB, two passes, one lane. About 70 ms on a 2026 cloud core.
const argon2id = { algorithm: 'argon2id', memoryCost: 19_456, timeCost: 2 } as const;

/** The hash that passwords for unknown accounts are verified against: of a random password, with the parameters above. */
export const unknownAccountHash =
  '$argon2id$v=19$m=19456,t=2,p=1$fRThlji3HpGphqENf/rB1+8E1/bacF+zPoU6rXBu+XY$7eje23wilT4XgX8+rHTPfdOspEB9VQYpUQDU9Q5WL38';

const retryAfterSeconds = 2;

/**
 * Each hash takes a core and 19 MiB while it runs, so a burst of logins would starve everything else. A
 * few hashes run at a time, a bounded number of calls waits, and calls beyond that fail with 503 at once.
 */
export function createPasswords({ metrics, parallelMax, waitingMax }: PasswordsOptions): Passwords {
  const waiting: (() => void)[] = [];
  let running = 0;
  metrics.gauge('user_password_hashes_waiting', () => waiting.length);

  return {
    hash: (password) => runLimited(() => Bun.password.hash(normalize(password), argon2id)),
    async verify(password, hash) {
      const matches = await runLimited(() =>
        Bun.password.verify(normalize(password), hash ?? unknownAccountHash),
      );
      return matches && hash !== undefined;
    },
  };

  async function runLimited<T>(work: () => Promise<T>): Promise<T> {
    if (running >= parallelMax) await waitForSlot();
    else running++;
    try {
      return await work();
    } finally {
      // The slot goes directly to the next waiting call, so that a new call can't take it in between.
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  }

  function waitForSlot(): Promise<void> {
    if (waiting.length >= waitingMax) {
      metrics.count('user_password_hashes_refused_total');
      throw problem('service.unavailable', { retryAfterSeconds });
    }
    return new Promise((resolve) => waiting.push(resolve));
  }
}

/** Normalizes a password, so that it is the same however the keyboard composed its letters (RFC 8265 asks for NFC). */
const normalize = (password: string): string => password.normalize('NFC');
