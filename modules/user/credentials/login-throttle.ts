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
  /** Failures per window at most: per account and address, per account, and per address. */
  quotas: { pair: number; account: number; address: number };
}

/** A login attempt that was admitted. */
export interface LoginAttempt {
  /** Removes the attempt from the counters, since the credentials were right. */
  markSucceeded(): Promise<void>;
}

export type LoginThrottle = ReturnType<typeof createLoginThrottle>;

/**
 * Limits failed logins with three counters, shared by all instances. The strict one counters the pair of
 * account and address: guessing from one address locks out that address, not the person elsewhere. The
 * two generous ones count the account, against guesses from many addresses, and the address, against
 * guesses for many accounts. An attempt counters before the password is verified, so that parallel guesses
 * get no further than sequential ones. Accounts that do not exist are counted the same.
 */
export function createLoginThrottle({ store, clock, metrics, windowMs, quotas }: LoginThrottleDeps) {
  return {
    /** Throws `auth.login_throttled`. */
    async beginAttempt(email: string, address: string): Promise<LoginAttempt> {
      const pair = counterOf(`pair\n${email}\n${address}`, quotas.pair);
      const counters = [
        pair,
        counterOf(`account\n${email}`, quotas.account),
        counterOf(`address\n${address}`, quotas.address),
      ];
      const counted = new Set(await store.countLoginAttempt(counters, clock.nowMs(), windowMs));
      const exhausted = counters.filter(({ key }) => !counted.has(key));
      if (exhausted.length === 0)
        return { markSucceeded: () => store.uncountLoginAttempt(counters, pair.key) };
      metrics.count('user_logins_total', { outcome: 'throttled' });
      // An address beyond its own quota must not use up the quota of the account.
      await store.uncountLoginAttempt(
        counters.filter(({ key }) => counted.has(key)),
        null,
      );
      const retryAfterSeconds = Math.max(...exhausted.map(({ spacingMs }) => spacingMs)) / 1000;
      throw userProblem('auth.login_throttled', { retryAfterSeconds });
    },
  };

  function counterOf(scope: string, quota: number): LoginFailureCounter {
    return { key: createHash('sha256').update(scope).digest('hex'), spacingMs: windowMs / quota };
  }
}
