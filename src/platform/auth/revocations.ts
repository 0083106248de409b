import type { RevocationsCursor, RevocationsPage } from '@contracts/revocations.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';

/** Asks the user context for the sessions that ended after a place in its list. */
export type RevocationSource = (after: RevocationsCursor) => Promise<RevocationsPage>;

/** The sessions that ended lately, as far as this process has heard. */
export interface Revocations {
  /** Whether a session has ended. Synchronous: it is asked for every request. */
  isRevoked(sessionId: string): boolean;
  /**
   * Keeps the list fresh. Undefined while it is fresh enough to decide by; else wait for the promise
   * (it never rejects) and decide then by whatever is known.
   */
  refreshIfStale(nowMs: number): Promise<void> | undefined;
  /** Calls `listener` with the ids of the keys that ended, each time that they are heard. */
  onRevokedKeys(listener: (keyIds: readonly string[]) => void): void;
}

export interface RevocationsOptions {
  source: RevocationSource;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/** A list younger than this is not asked for again. */
const pollMs = 1_000;
/** A list older than this decides nothing: the request waits for a newer one. */
const trustMs = 3_000;
/** Asked for again each time: statements that were under way, and clocks that differ. */
const overlapMs = 15_000;
/** About 150 bytes each. A session stays for the life of an access token: 200 logouts a second fill it. */
const sessionsMax = 200_000;

/**
 * A list that is asked for when a request needs it: at most once a second, in the background while it
 * is young, in the way of the request when it has grown old. So an edge that was idle can't let in
 * whoever was thrown out meanwhile. While the user context is away, what is known stays in force and
 * everyone else is let in: what that can cost is bounded by the life of an access token.
 */
export function createRevocations({ source, clock, log, metrics }: RevocationsOptions): Revocations {
  const forgetAtMs = new Map<string, number>();
  const listeners: ((keyIds: readonly string[]) => void)[] = [];
  let heardAtMs = Number.NEGATIVE_INFINITY;
  let triedAtMs = Number.NEGATIVE_INFINITY;
  let completeToMs = 0;
  let asking: Promise<void> | undefined;
  let failing = false;
  metrics.gauge('auth_revoked_sessions', () => forgetAtMs.size);
  metrics.gauge('auth_revocations_age_ms', () =>
    heardAtMs === Number.NEGATIVE_INFINITY ? 0 : clock.nowMs() - heardAtMs,
  );

  return {
    isRevoked: (sessionId) => forgetAtMs.size > 0 && forgetAtMs.has(sessionId),
    refreshIfStale(nowMs) {
      if (nowMs - heardAtMs < pollMs) return undefined;
      if (asking === undefined && nowMs - triedAtMs >= pollMs) {
        triedAtMs = nowMs;
        asking = ask().finally(() => {
          asking = undefined;
        });
      }
      // Where nobody answers, one request has waited for it: the others must not.
      return nowMs - heardAtMs < trustMs || failing ? undefined : asking;
    },
    onRevokedKeys: (listener) => void listeners.push(listener),
  };

  async function ask(): Promise<void> {
    try {
      let after: RevocationsCursor = { sinceMs: Math.max(0, completeToMs - overlapMs) };
      let page: RevocationsPage;
      do {
        page = await source(after);
        keep(page);
        const last = page.sessions.at(-1);
        if (last !== undefined) after = { sinceMs: last.atMs, afterId: last.id };
      } while (page.more);
      completeToMs = page.asOfMs;
      heardAtMs = clock.nowMs();
      failing = false;
    } catch (error) {
      failing = true;
      metrics.count('auth_revocations_unheard_total');
      log.warn({ err: error }, 'the ended sessions could not be heard; those known stay ended');
    }
  }

  function keep({ sessions, keepMs, endedKeyIds }: RevocationsPage): void {
    for (const listener of listeners) listener(endedKeyIds);
    const nowMs = clock.nowMs();
    for (const { id } of sessions) if (!forgetAtMs.has(id)) forgetAtMs.set(id, nowMs + keepMs);
    // In the order of their coming: the first that is still needed ends the search.
    for (const [id, atMs] of forgetAtMs) {
      const overfull = forgetAtMs.size > sessionsMax;
      if (atMs > nowMs && !overfull) break;
      if (atMs > nowMs) metrics.count('auth_revocations_dropped_total');
      forgetAtMs.delete(id);
    }
  }
}

/** For a verifier whose tokens nobody can end: tests and benchmarks of other things. */
export const noRevocations: Revocations = {
  isRevoked: () => false,
  refreshIfStale: () => undefined,
  onRevokedKeys: () => undefined,
};
