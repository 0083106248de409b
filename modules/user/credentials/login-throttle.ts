import { createHash } from 'node:crypto';
import type { Clock } from '@platform/clock.ts';
import type { Metrics } from '@platform/metrics.ts';
import { userProblem } from '../errors.ts';
import type { LoginFailureCounter } from '../store/login-failures.ts';
import type { UserStore } from '../store/store.ts';

export interface LoginThrottleDeps {
  store: Pick<UserStore, 'countLoginAttempt' | 'uncountLoginAttempt'>;
  clock: Clock;
  metrics: Metrics;
  windowMs: number;
  /** Failures in a window, at most: of one account from one address, of one account, of one address. */
  quotas: { pair: number; account: number; address: number };
}

/** An attempt to log in that may go on. */
export interface LoginAttempt {
  /** It was the right person: the attempt counts no more. */
  markSucceeded(): Promise<void>;
}

export type LoginThrottle = ReturnType<typeof createLoginThrottle>;

/**
 * Failed logins are counted for the account and the address together, strictly; for each of them
 * alone, more generously: who guesses from one place locks out that place and not the person, who
 * guesses from many is held by the account, and who tries many accounts by the address. An attempt
 * counts before the password is looked at, so that many at once get no further than many in a row.
 * An account that does not exist is counted like any other. Shared by all instances.
 */
export function createLoginThrottle({ store, clock, metrics, windowMs, quotas }: LoginThrottleDeps) {
  return {
    /** Throws `auth.login_throttled`. */
    async beginAttempt(email: string, address: string): Promise<LoginAttempt> {
      const pair = count(`pair\n${email}\n${address}`, quotas.pair);
      const counts = [
        pair,
        count(`account\n${email}`, quotas.account),
        count(`address\n${address}`, quotas.address),
      ];
      const counted = new Set(await store.countLoginAttempt(counts, clock.nowMs(), windowMs));
      const full = counts.filter(({ key }) => !counted.has(key));
      if (full.length === 0) return { markSucceeded: () => store.uncountLoginAttempt(counts, pair.key) };
      metrics.count('user_logins_total', { outcome: 'throttled' });
      // What one place does beyond its own quota must not use up that of the account.
      await store.uncountLoginAttempt(
        counts.filter(({ key }) => counted.has(key)),
        null,
      );
      const retryAfterSeconds = Math.max(...full.map(({ spacingMs }) => spacingMs)) / 1000;
      throw userProblem('auth.login_throttled', { retryAfterSeconds });
    },
  };

  function count(place: string, quota: number): LoginFailureCounter {
    return { key: createHash('sha256').update(place).digest('hex'), spacingMs: windowMs / quota };
  }
}
