import type { RevocationSource } from '@platform/auth/revocations.ts';
import type { Clock } from '@platform/clock.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { UserStore } from '../store/store.ts';

export interface RevocationSourceDeps {
  store: Pick<UserStore, 'findEndedSessions'>;
  keyring: Pick<Keyring, 'findEndedKeyIds'>;
  clock: Clock;
  accessLifeMs: number;
}

const pageSize = 1_000;
// The clocks of instances may differ by this much.
const marginMs = 60_000;

/** The revocations that verifiers fetch: the sessions that ended within the lifetime of an access token, and the ended keys. */
export function createRevocationSource({
  store,
  keyring,
  clock,
  accessLifeMs,
}: RevocationSourceDeps): RevocationSource {
  return async ({ sinceMs, afterId }) => {
    const asOfMs = clock.nowMs();
    const oldestMs = asOfMs - accessLifeMs - marginMs;
    const after =
      afterId === undefined || sinceMs < oldestMs
        ? { sinceMs: Math.max(sinceMs, oldestMs) }
        : { sinceMs, afterId };
    const [endedSessions, endedKeyIds] = await Promise.all([
      store.findEndedSessions(after, pageSize + 1),
      keyring.findEndedKeyIds(),
    ]);
    return {
      sessions: endedSessions.slice(0, pageSize),
      more: endedSessions.length > pageSize,
      asOfMs,
      keepMs: accessLifeMs + marginMs,
      endedKeyIds,
    };
  };
}
