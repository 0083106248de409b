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

/** A session that is not stored yet, with the refresh token that only its client will know. */
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
  /** How long after its use a refresh token still returns the same tokens. */
  refreshGraceMs: number;
  /** Called after each write that may have added an event to the outbox, so that the relay publishes it at once. */
  onEventWritten: () => void;
}

export type LoginSessions = ReturnType<typeof createLoginSessions>;

/** A session is one login: a chain of single-use refresh tokens that ends as a whole. */
export function createLoginSessions(options: LoginSessionsDeps) {
  const { store, accessTokens, clock, random, ids, log, metrics } = options;
  const { refreshLifeMs, refreshGraceMs, onEventWritten } = options;

  return {
    /** Creates a session. The caller stores it in the same statement that checks or creates the account. */
    createDraft(): LoginSessionDraft {
      const secret = createRefreshToken(random);
      return { id: ids<string>(), secret, token: { hash: secret.hash, ...lifetimeFrom(clock.nowMs()) } };
    },

    /** Issues the tokens of a session that was stored. */
    issueTokens: (account: Account, { id, secret, token }: LoginSessionDraft) =>
      createTokenPair(account, id, secret, token.expiresAtMs),

    /**
     * Exchanges a refresh token for new tokens. Within the grace period, and while its successor is unused,
     * the same token returns the same successor again, so that a client whose response was lost can go on.
     * A later reuse means that two parties have the token, one of them a thief: the whole session ends.
     * Throws `auth.refresh_invalid`.
     */
    async refresh(presentedToken: string): Promise<TokenPair> {
      const salt = createSalt(random);
      const next = successorOf(presentedToken, salt);
      const lifetime = lifetimeFrom(clock.nowMs());
      const rotation = await store.rotateRefreshToken(
        hashRefreshToken(presentedToken),
        { hash: next.hash, salt, ...lifetime },
        refreshGraceMs,
        newSignOut(),
      );
      metrics.count('user_refreshes_total', { outcome: rotation.kind });
      switch (rotation.kind) {
        case 'rotated':
          return createTokenPair(rotation.account, rotation.sessionId, next, lifetime.expiresAtMs);
        case 'repeated': {
          const { account, sessionId, usedAtMs } = rotation;
          return createTokenPair(
            account,
            sessionId,
            successorOf(presentedToken, rotation.salt),
            lifetimeFrom(usedAtMs).expiresAtMs,
          );
        }
        case 'reused':
          onEventWritten();
          log.warn(
            { personId: rotation.personId, sessionId: rotation.sessionId },
            'refresh token was used twice, session revoked',
          );
          throw userProblem('auth.refresh_invalid');
        case 'refused':
          throw userProblem('auth.refresh_invalid');
      }
    },

    /** Ends the session of a refresh token. Does nothing if the token is unknown or the session has ended. */
    async close(presentedToken: string): Promise<void> {
      await store.closeSession(hashRefreshToken(presentedToken), newSignOut());
      onEventWritten();
    },
  };

  function newSignOut() {
    return { eventId: ids<EventId>(), atMs: clock.nowMs() };
  }

  function lifetimeFrom(issuedAtMs: number): { issuedAtMs: number; expiresAtMs: number } {
    return { issuedAtMs, expiresAtMs: issuedAtMs + refreshLifeMs };
  }

  async function createTokenPair(
    account: Account,
    sessionId: string,
    { token }: RefreshToken,
    expiresAtMs: number,
  ) {
    const access = await accessTokens.sign(account, sessionId);
    return { access, refresh: { token, expiresAtMs } };
  }
}
