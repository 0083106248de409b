import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Random } from '@platform/random.ts';
import { fault } from './errors.ts';
import { createRefreshToken, hashRefreshToken, type RefreshToken } from './refresh-token.ts';
import type { Account } from './store/account.ts';
import type { UserStore } from './store/index.ts';
import type { NewRefreshToken, NewSession } from './store/sessions.ts';
import type { AccessToken, AccessTokens } from './tokens.ts';

export interface TokenPair {
  access: AccessToken;
  refresh: { token: string; expiresAtMs: number };
}

/** A session that is about to be stored, with the secret that only its client will know. */
export interface SessionDraft extends NewSession {
  secret: RefreshToken;
}

export interface SessionsOptions {
  store: Pick<UserStore, 'rotate' | 'closeSession'>;
  accessTokens: AccessTokens;
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  refreshLifeMs: number;
}

export type Sessions = ReturnType<typeof createSessions>;

/** A session is one login: a chain of refresh tokens, each good for one use, that lives and ends as one. */
export function createSessions(options: SessionsOptions) {
  const { store, accessTokens, clock, random, ids, log, metrics, refreshLifeMs } = options;

  return {
    /** To be stored by whoever lets the person in, in the same statement as what lets them in. */
    draft(): SessionDraft {
      const { secret, token } = draftToken();
      return { id: ids<string>(), secret, token };
    },

    /** The tokens of a session that was stored. */
    tokensOf: (account: Account, { id, secret, token }: SessionDraft) => pair(account, id, secret, token),

    /**
     * Takes a refresh token for a new pair. One that was taken before is in two hands, one of them a
     * thief's: its whole session ends. Throws `auth.refresh_invalid`.
     */
    async refresh(shown: string): Promise<TokenPair> {
      const { secret, token } = draftToken();
      const rotation = await store.rotate(hashRefreshToken(shown), token);
      metrics.count('user_refreshes_total', { outcome: rotation.kind });
      switch (rotation.kind) {
        case 'rotated':
          return pair(rotation.account, rotation.sessionId, secret, token);
        case 'reused':
          log.warn(
            { personId: rotation.personId, sessionId: rotation.sessionId },
            'a refresh token was used twice: its session is revoked',
          );
          throw fault('auth.refresh_invalid');
        case 'refused':
          throw fault('auth.refresh_invalid');
      }
    },

    /** Ends the session of a refresh token. One that is unknown or over has ended already. */
    close: (shown: string): Promise<void> => store.closeSession(hashRefreshToken(shown), clock.nowMs()),
  };

  function draftToken(): { secret: RefreshToken; token: NewRefreshToken } {
    const secret = createRefreshToken(random);
    const issuedAtMs = clock.nowMs();
    return { secret, token: { hash: secret.hash, issuedAtMs, expiresAtMs: issuedAtMs + refreshLifeMs } };
  }

  async function pair(account: Account, sessionId: string, secret: RefreshToken, kept: NewRefreshToken) {
    const access = await accessTokens.sign(account, sessionId);
    return { access, refresh: { token: secret.token, expiresAtMs: kept.expiresAtMs } };
  }
}
