import type { PersonId } from '@contracts/ids.ts';
import type { LoginBody, RegisterBody, UpdateMeBody } from '@contracts/people.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Random } from '@platform/random.ts';
import { fault } from './errors.ts';
import type { Passwords } from './passwords.ts';
import { createRefreshToken, hashRefreshToken, type RefreshToken } from './refresh-token.ts';
import type { Operator } from './settings.ts';
import type { Account, NewRefreshToken, UserStore } from './store.ts';
import type { AccessToken, AccessTokens } from './tokens.ts';

export interface TokenPair {
  access: AccessToken;
  refresh: { token: string; expiresAtMs: number };
}

export interface UserServiceOptions {
  store: UserStore;
  passwords: Passwords;
  accessTokens: AccessTokens;
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  refreshLifeMs: number;
}

export type UserService = ReturnType<typeof createUserService>;

export function createUserService(options: UserServiceOptions) {
  const { store, passwords, accessTokens, clock, random, ids, log, metrics, refreshLifeMs } = options;

  return {
    /** Opens an account and logs it in. Throws `user.email_taken`, `service.unavailable`. */
    async register(asked: RegisterBody): Promise<{ account: Account; tokens: TokenPair }> {
      const passwordHash = await passwords.hash(asked.password);
      const session = newSession();
      const account = await store.register(
        {
          id: ids<PersonId>(),
          email: keptEmail(asked.email),
          name: asked.name,
          phone: asked.phone ?? null,
          role: asked.role,
          passwordHash,
          createdAtMs: session.token.issuedAtMs,
        },
        session,
      );
      if (account === undefined) throw fault('user.email_taken');
      return { account, tokens: await pair(account, session.id, session.secret, session.token) };
    },

    /** Throws `auth.credentials_invalid`, `service.unavailable`. */
    async login({ email, password }: LoginBody): Promise<{ account: Account; tokens: TokenPair }> {
      const found = await store.findCredentials(keptEmail(email));
      const right = await passwords.verify(password, found?.passwordHash);
      metrics.count('user_logins_total', { outcome: right ? 'ok' : 'refused' });
      if (found === undefined || !right) throw fault('auth.credentials_invalid');
      const session = newSession();
      await store.openSession(found.account.id, session);
      return {
        account: found.account,
        tokens: await pair(found.account, session.id, session.secret, session.token),
      };
    },

    /**
     * Takes a refresh token for a new pair. One that was taken before is in two hands, one of them a
     * thief's: its whole session ends. Throws `auth.refresh_invalid`.
     */
    async refresh(token: string): Promise<TokenPair> {
      const secret = createRefreshToken(random);
      const kept = newRefreshToken(secret);
      const rotation = await store.rotate(hashRefreshToken(token), kept);
      metrics.count('user_refreshes_total', { outcome: rotation.kind });
      switch (rotation.kind) {
        case 'rotated':
          return pair(rotation.account, rotation.sessionId, secret, kept);
        case 'reused':
          log.warn(
            { personId: rotation.personId, sessionId: rotation.sessionId },
            'a refresh token came twice; its session is revoked',
          );
          throw fault('auth.refresh_invalid');
        case 'refused':
          throw fault('auth.refresh_invalid');
      }
    },

    /** Ends the session of a refresh token. One that is unknown or over is logged out already. */
    logout: (token: string): Promise<void> => store.closeSession(hashRefreshToken(token), clock.nowMs()),

    /** Throws `user.not_found`. */
    me: async (id: PersonId): Promise<Account> => found(await store.find(id)),

    /** Throws `user.not_found`. */
    updateMe: async (id: PersonId, changes: UpdateMeBody): Promise<Account> =>
      found(await store.update(id, changes, clock.nowMs())),

    /** Sees to it that the operator's account exists with this password. */
    async ensureOperator({ email, password }: Operator): Promise<void> {
      const known = await store.findCredentials(keptEmail(email));
      if (known?.account.role === 'ops' && (await passwords.verify(password, known.passwordHash))) return;
      const passwordHash = await passwords.hash(password);
      await store.putOperator({
        id: ids<PersonId>(),
        email: keptEmail(email),
        name: 'Operator',
        phone: null,
        role: 'ops',
        passwordHash,
        createdAtMs: clock.nowMs(),
      });
      log.info({ replaced: known !== undefined }, 'the operator account is set up');
    },
  };

  function newSession() {
    const secret = createRefreshToken(random);
    return { id: ids<string>(), secret, token: newRefreshToken(secret) };
  }

  function newRefreshToken({ hash }: RefreshToken): NewRefreshToken {
    const nowMs = clock.nowMs();
    return { hash, issuedAtMs: nowMs, expiresAtMs: nowMs + refreshLifeMs };
  }

  async function pair(
    account: Account,
    sessionId: string,
    secret: RefreshToken,
    kept: NewRefreshToken,
  ): Promise<TokenPair> {
    const access = await accessTokens.sign(account, sessionId);
    return { access, refresh: { token: secret.token, expiresAtMs: kept.expiresAtMs } };
  }
}

/** Emails are compared without regard to case. */
const keptEmail = (email: string): string => email.toLowerCase();

function found(account: Account | undefined): Account {
  if (account === undefined) throw fault('user.not_found');
  return account;
}
