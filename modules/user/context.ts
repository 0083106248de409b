import type { Guard } from '@platform/auth/guard.ts';
import type { RevocationSource } from '@platform/auth/revocations.ts';
import type { ServiceGuard } from '@platform/auth/service-tokens.ts';
import type { FetchKeySet } from '@platform/auth/verifier.ts';
import type { Bus } from '@platform/bus/bus.ts';
import type { Clock } from '@platform/clock.ts';
import type { Context } from '@platform/context.ts';
import type { Ids } from '@platform/ids.ts';
import { createLoop } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { createRelay } from '@platform/outbox/relay.ts';
import type { Database } from '@platform/postgres/database.ts';
import { migrate } from '@platform/postgres/migrate.ts';
import type { Random } from '@platform/random.ts';
import { canonicaliseEmails } from './credentials/canonical-emails.ts';
import { createLoginThrottle } from './credentials/login-throttle.ts';
import { createPasswords } from './credentials/passwords.ts';
import { createUserRoutes } from './index.ts';
import { createUserInternalRoutes, type UserInternalRoutes } from './internal.ts';
import { createKeyring, type Keyring } from './keys/keyring.ts';
import { createSecretBox } from './keys/secret-box.ts';
import { userMigrations } from './migrations/index.ts';
import { createOperatorService } from './operators.ts';
import { createUserService } from './service.ts';
import { createAccessTokens } from './sessions/access-tokens.ts';
import { createLoginSessions } from './sessions/login-sessions.ts';
import { createRevocationSource } from './sessions/revocation-source.ts';
import { operatorCredentialsOf, type UserSettings } from './settings.ts';
import { createUserStore, type UserStore } from './store/store.ts';

export interface UserContextDeps {
  database: Database;
  bus: Bus;
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  /** Its verifier may use this context's own `keys`: the key set is fetched on first use. */
  guard: Guard;
  serviceGuard: ServiceGuard;
  settings: UserSettings;
}

export interface UserContext extends Context {
  routes: ReturnType<typeof createUserRoutes>;
  internalRoutes: UserInternalRoutes;
  /** The key set and the revoked sessions, for verifiers in the same process. */
  keys: FetchKeySet;
  revocations: RevocationSource;
  /** Migrates the schema and creates the first signing key and the operator account. Call it before anything else runs. */
  prepare(): Promise<void>;
}

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const dayMs = 24 * 60 * minuteMs;
const sweepEveryMs = 60 * minuteMs;
const sweepRowsMax = 1_000;

/**
 * Assembles the user context: people, credentials, tokens and signing keys. Throws ConfigError if the
 * operator account is configured only in part.
 */
export function createUserContext(options: UserContextDeps): UserContext {
  const { database, bus, clock, log, metrics, guard, serviceGuard, settings } = options;
  const operator = operatorCredentialsOf(settings);
  const accessLifeMs = settings.ACCESS_TOKEN_SECONDS * secondMs;
  const relay = createRelay({ database, bus, clock, log, metrics });
  const { store, keyring, service, sessions, operators } = createUseCases(options, relay.wake);
  const revocations = createRevocationSource({ store, keyring, clock, accessLifeMs });

  return {
    name: 'user',
    routes: createUserRoutes({ guard, service, sessions, operators, keys: keyring.keySet }),
    internalRoutes: createUserInternalRoutes({ serviceGuard, revocations }),
    workers: [
      relay,
      createLoop({
        name: 'user.sweep',
        clock,
        log,
        idleMs: sweepEveryMs,
        step: async () => (await store.sweep(clock.nowMs(), accessLifeMs, sweepRowsMax)) >= sweepRowsMax,
      }),
      createLoop({
        name: 'user.keys',
        clock,
        log,
        idleMs: minuteMs,
        async step() {
          await keyring.rotateIfDue();
          return false;
        },
      }),
    ],
    // The bus is no readiness check: without it people still log in and out, and events wait in the outbox.
    readinessChecks: { postgres: () => database.ping() },
    keys: keyring.keySet,
    revocations,
    async prepare() {
      await migrate(database, userMigrations, log);
      await canonicaliseEmails(store, log);
      await keyring.prepare();
      if (operator !== undefined) await service.ensureOperator(operator);
    },
  };
}

function createUseCases(options: UserContextDeps, onEventWritten: () => void) {
  const { database, clock, random, ids, log, metrics, settings } = options;
  const store = createUserStore(database);
  const keyring = createKeyringOf(store, options);
  const accessTokens = createAccessTokens({
    keyring,
    clock,
    ids,
    issuer: settings.TOKEN_ISSUER,
    audience: settings.TOKEN_AUDIENCE,
    lifeSeconds: settings.ACCESS_TOKEN_SECONDS,
  });
  const sessions = createLoginSessions({
    store,
    accessTokens,
    clock,
    random,
    ids,
    log,
    metrics,
    refreshLifeMs: settings.REFRESH_TOKEN_DAYS * dayMs,
    refreshGraceMs: settings.REFRESH_GRACE_SECONDS * secondMs,
    onEventWritten,
  });
  const passwords = createPasswords({
    metrics,
    parallelMax: settings.PASSWORD_HASHES_PARALLEL_MAX,
    waitingMax: settings.PASSWORD_HASHES_WAITING_MAX,
  });
  const throttle = createLoginThrottle({
    store,
    clock,
    metrics,
    windowMs: settings.LOGIN_FAILURES_MINUTES * minuteMs,
    quotas: {
      pair: settings.LOGIN_FAILURES_MAX,
      account: settings.LOGIN_FAILURES_ACCOUNT_MAX,
      address: settings.LOGIN_FAILURES_ADDRESS_MAX,
    },
  });
  const service = createUserService({ store, passwords, throttle, sessions, clock, ids, log, metrics });
  const operators = createOperatorService({ store, keyring, clock, ids, log, onEventWritten });
  return { store, keyring, service, sessions, operators };
}

const createKeyringOf = (store: UserStore, { clock, random, log, settings }: UserContextDeps): Keyring =>
  createKeyring({
    store,
    secretBox: createSecretBox(settings.SIGNING_KEY_SECRET, random),
    clock,
    random,
    log,
    refreshMs: settings.SIGNING_KEYS_REFRESH_SECONDS * secondMs,
    lifeMs: settings.SIGNING_KEY_DAYS * dayMs,
    tokenLifeMs: settings.ACCESS_TOKEN_SECONDS * secondMs,
  });
