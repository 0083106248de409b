import type { EventId, PersonId } from '@contracts/ids.ts';
import type { LoginBody, RegisterBody, UpdateMeBody } from '@contracts/people.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { LoginThrottle } from './credentials/login-throttle.ts';
import type { Passwords } from './credentials/passwords.ts';
import { userProblem } from './errors.ts';
import type { LoginSessions, TokenPair } from './sessions/login-sessions.ts';
import type { OperatorCredentials } from './settings.ts';
import type { Account } from './store/account.ts';
import type { UserStore } from './store/store.ts';

export interface UserServiceDeps {
  store: UserStore;
  passwords: Passwords;
  throttle: LoginThrottle;
  sessions: LoginSessions;
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
}

export interface LoginResult {
  account: Account;
  tokens: TokenPair;
}

export type UserService = ReturnType<typeof createUserService>;

/** The use cases of people and their logins. Emails arrive in canonical spelling, which the contract's schema produces. */
export function createUserService(options: UserServiceDeps) {
  const { store, passwords, throttle, sessions, clock, ids, log, metrics } = options;

  return {
    /**
     * Creates an account and logs the person in. It takes no idempotency key, since the tokens in the
     * response are not stored: a client that lost the response logs in. Throws `user.email_taken`,
     * `service.unavailable`.
     */
    async register({ email, password, name, role, phone }: RegisterBody): Promise<LoginResult> {
      const passwordHash = await passwords.hash(password);
      const session = sessions.createDraft();
      const createdAtMs = clock.nowMs();
      const id = ids<PersonId>();
      const account = await store.register(
        { id, email, name, phone: phone ?? null, role, passwordHash, createdAtMs },
        session,
      );
      if (account === undefined) throw userProblem('user.email_taken');
      return { account, tokens: await sessions.issueTokens(account, session) };
    },

    /**
     * Throws `auth.credentials_invalid`, `auth.login_throttled`, `service.unavailable`, and, only if the
     * password is right, `auth.account_banned`.
     */
    async login({ email, password }: LoginBody, address: string): Promise<LoginResult> {
      const attempt = await throttle.beginAttempt(email, address);
      const credentials = await store.findCredentials(email);
      const isRightPassword = await passwords.verify(password, credentials?.passwordHash);
      if (credentials !== undefined && isRightPassword && credentials.account.bannedAtMs !== null) {
        await attempt.markSucceeded();
        throw userProblem('auth.account_banned');
      }
      const session = sessions.createDraft();
      const isOpened =
        credentials !== undefined && isRightPassword && (await store.openSession(credentials, session));
      metrics.count('user_logins_total', { outcome: isOpened ? 'ok' : 'refused' });
      if (!isOpened) throw userProblem('auth.credentials_invalid');
      await attempt.markSucceeded();
      return {
        account: credentials.account,
        tokens: await sessions.issueTokens(credentials.account, session),
      };
    },

    /** Throws `user.not_found`. */
    findAccount: async (id: PersonId): Promise<Account> => requireAccount(await store.find(id)),

    /** Throws `user.not_found`. */
    updateAccount: async (id: PersonId, changes: UpdateMeBody): Promise<Account> =>
      requireAccount(await store.update(id, changes, clock.nowMs())),

    /** Ensures that the operator account exists with this password. */
    async ensureOperator({ email, password }: OperatorCredentials): Promise<void> {
      const credentials = await store.findCredentials(email);
      if (credentials?.account.role === 'ops' && (await passwords.verify(password, credentials.passwordHash)))
        return;
      const passwordHash = await passwords.hash(password);
      const account = { id: ids<PersonId>(), email, name: 'Operator', phone: null, role: 'ops' } as const;
      await store.putOperator({ ...account, passwordHash, createdAtMs: clock.nowMs() }, ids<EventId>());
      log.info({ replaced: credentials !== undefined }, 'configured operator account');
    },
  };
}

function requireAccount(account: Account | undefined): Account {
  if (account === undefined) throw userProblem('user.not_found');
  return account;
}
