import type { RevocationsCursor, RevocationsPage } from '@contracts/revocations.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';

/** Fetches from the user context the login sessions that ended after a cursor. */
export type RevocationSource = (after: RevocationsCursor) => Promise<RevocationsPage>;

/** The login sessions that ended recently, as far as this process knows. */
export interface Revocations {
  /** Whether a session has ended. Synchronous, since it is called for every request. */
  isRevoked(sessionId: string): boolean;
  /**
   * Refreshes the list. Returns undefined while the list is fresh enough to decide by it. Otherwise the caller waits
   * for the promise, which never rejects, and then decides by what is known.
   */
  refreshIfStale(nowMs: number): Promise<void> | undefined;
  /** Calls `listener` with the ids of the revoked keys after each refresh. */
  onRevokedKeys(listener: (keyIds: readonly string[]) => void): void;
}

export interface RevocationsOptions {
  source: RevocationSource;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/** A list younger than this is not refreshed. */
const pollMs = 1_000;
/** A list older than this is too old to decide by: the request waits for a refresh. */
const trustMs = 3_000;
/** Each refresh overlaps the one before by this much, for statements that were in flight and clocks that differ. */
const overlapMs = 15_000;
/** About 150 bytes each. An entry stays for the lifetime of an access token, so 200 logouts a second fill the list. */
const sessionsMax = 200_000;

/**
 * A list that is refreshed when a request needs it: at most once a second, in the background while it is young, and
 * before the request continues once it is old. So an edge that was idle cannot accept a session that was revoked
 * meanwhile. While the user context is unavailable, known revocations stay in force and all other sessions are
 * accepted (fail open); the exposure is bounded by the lifetime of an access token.
 *
 *   fresh (< 1 s) ──► young (< 3 s): refreshes in the background ──► old: the request waits for the refresh
 *                     a failed refresh counts as young until one succeeds
 */
export function createRevocations({ source, clock, log, metrics }: RevocationsOptions): Revocations {
  const forgetAtMs = new Map<string, number>();
  const listeners: ((keyIds: readonly string[]) => void)[] = [];
  let refreshedAtMs = Number.NEGATIVE_INFINITY;
  let attemptedAtMs = Number.NEGATIVE_INFINITY;
  let completeToMs = 0;
  let refreshing: Promise<void> | undefined;
  let isFailing = false;
  metrics.gauge('auth_revoked_sessions', () => forgetAtMs.size);
  metrics.gauge('auth_revocations_age_ms', () =>
    refreshedAtMs === Number.NEGATIVE_INFINITY ? 0 : clock.nowMs() - refreshedAtMs,
  );

  return {
    isRevoked: (sessionId) => forgetAtMs.size > 0 && forgetAtMs.has(sessionId),
    refreshIfStale(nowMs) {
      if (nowMs - refreshedAtMs < pollMs) return undefined;
      if (refreshing === undefined && nowMs - attemptedAtMs >= pollMs) {
        attemptedAtMs = nowMs;
        refreshing = refresh().finally(() => {
          refreshing = undefined;
        });
      }
      // While refreshes fail, one request has waited for a failure already, so the others do not wait.
      return nowMs - refreshedAtMs < trustMs || isFailing ? undefined : refreshing;
    },
    onRevokedKeys: (listener) => void listeners.push(listener),
  };

  async function refresh(): Promise<void> {
    try {
      let after: RevocationsCursor = { sinceMs: Math.max(0, completeToMs - overlapMs) };
      let page: RevocationsPage;
      do {
        page = await source(after);
        applyPage(page);
        const last = page.sessions.at(-1);
        if (last !== undefined) after = { sinceMs: last.atMs, afterId: last.id };
      } while (page.more);
      completeToMs = page.asOfMs;
      refreshedAtMs = clock.nowMs();
      isFailing = false;
    } catch (error) {
      isFailing = true;
      metrics.count('auth_revocations_unheard_total');
      log.warn({ err: error }, 'failed to refresh revoked sessions, known ones stay revoked');
    }
  }

  function applyPage({ sessions, keepMs, endedKeyIds }: RevocationsPage): void {
    for (const listener of listeners) listener(endedKeyIds);
    const nowMs = clock.nowMs();
    for (const { id } of sessions) if (!forgetAtMs.has(id)) forgetAtMs.set(id, nowMs + keepMs);
    // A Map keeps insertion order: the first entry that is still needed ends the loop.
    for (const [id, atMs] of forgetAtMs) {
      const isOverfull = forgetAtMs.size > sessionsMax;
      if (atMs > nowMs && !isOverfull) break;
      if (atMs > nowMs) metrics.count('auth_revocations_dropped_total');
      forgetAtMs.delete(id);
    }
  }
}

/** For a verifier without revocations, in tests and benchmarks. */
export const noRevocations: Revocations = {
  isRevoked: () => false,
  refreshIfStale: () => undefined,
  onRevokedKeys: () => undefined,
};
