import type { EventId } from '@contracts/ids.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Random } from '@platform/random.ts';
import { userProblem } from '../errors.ts';
import type { Account } from '../store/account.ts';
import type { NewLoginSession } from '../store/sessions.ts';
import type { UserStore } from '../store/store.ts';
import type { AccessToken, AccessTokens } from './access-tokens.ts';
import {
  createRefreshToken,
  createSalt,
  hashRefreshToken,
  type RefreshToken,
  successorOf,
} from './refresh-token.ts';

export interface TokenPair {
  access: AccessToken;
  refresh: { token: string; expiresAtMs: number };
}

/** A session that is about to be stored, with the secret that only its client will know. */
export interface LoginSessionDraft extends NewLoginSession {
  secret: RefreshToken;
}

export interface LoginSessionsDeps {
  store: Pick<UserStore, 'rotateRefreshToken' | 'closeSession'>;
  accessTokens: AccessTokens;
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  refreshLifeMs: number;
  /** How long after its use a refresh token still gives the same pair of tokens. */
  refreshGraceMs: number;
  /** Called after a write that may have written an event, so that it leaves at once. */
  onEventWritten: () => void;
}

export type LoginSessions = ReturnType<typeof createLoginSessions>;

/** A session is one login: a chain of refresh tokens, each good for one use, that lives and ends as one. */
export function createLoginSessions(options: LoginSessionsDeps) {
  const { store, accessTokens, clock, random, ids, log, metrics } = options;
  const { refreshLifeMs, refreshGraceMs, onEventWritten } = options;

  return {
    /** To be stored by whoever lets the person in, in the same statement as what lets them in. */
    createDraft(): LoginSessionDraft {
      const secret = createRefreshToken(random);
      return { id: ids<string>(), secret, token: { hash: secret.hash, ...lifeFrom(clock.nowMs()) } };
    },

    /** The tokens of a session that was stored. */
    issueTokens: (account: Account, { id, secret, token }: LoginSessionDraft) =>
      pair(account, id, secret, token.expiresAtMs),

    /**
     * Takes a refresh token for a new pair. Shown again within the grace, while its successor was not
     * used, it gives the same successor again: the client whose reply was lost goes on. Shown again
     * later it is in two hands, one of them a thief's: its whole session ends. Throws
     * `auth.refresh_invalid`.
     */
    async refresh(shown: string): Promise<TokenPair> {
      const salt = createSalt(random);
      const next = successorOf(shown, salt);
      const life = lifeFrom(clock.nowMs());
      const rotation = await store.rotateRefreshToken(
        hashRefreshToken(shown),
        { hash: next.hash, salt, ...life },
        refreshGraceMs,
        signOut(),
      );
      metrics.count('user_refreshes_total', { outcome: rotation.kind });
      switch (rotation.kind) {
        case 'rotated':
          return pair(rotation.account, rotation.sessionId, next, life.expiresAtMs);
        case 'repeated': {
          const { account, sessionId, usedAtMs } = rotation;
          return pair(account, sessionId, successorOf(shown, rotation.salt), lifeFrom(usedAtMs).expiresAtMs);
        }
        case 'reused':
          onEventWritten();
          log.warn(
            { personId: rotation.personId, sessionId: rotation.sessionId },
            'a refresh token was used twice: its session is revoked',
          );
          throw userProblem('auth.refresh_invalid');
        case 'refused':
          throw userProblem('auth.refresh_invalid');
      }
    },

    /** Ends the session of a refresh token. One that is unknown or over has ended already. */
    async close(shown: string): Promise<void> {
      await store.closeSession(hashRefreshToken(shown), signOut());
      onEventWritten();
    },
  };

  function signOut() {
    return { eventId: ids<EventId>(), atMs: clock.nowMs() };
  }

  function lifeFrom(issuedAtMs: number): { issuedAtMs: number; expiresAtMs: number } {
    return { issuedAtMs, expiresAtMs: issuedAtMs + refreshLifeMs };
  }

  async function pair(account: Account, sessionId: string, { token }: RefreshToken, expiresAtMs: number) {
    const access = await accessTokens.sign(account, sessionId);
    return { access, refresh: { token, expiresAtMs } };
  }
}
