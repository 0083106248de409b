import type { Guard } from '@platform/auth/guard.ts';
import type { KeySource } from '@platform/auth/verifier.ts';
import type { Clock } from '@platform/clock.ts';
import type { Context } from '@platform/context.ts';
import type { Ids } from '@platform/ids.ts';
import { createLoop } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Database } from '@platform/postgres/database.ts';
import { migrate } from '@platform/postgres/migrate.ts';
import type { Random } from '@platform/random.ts';
import { createUserRoutes } from './index.ts';
import { createKeyring } from './keyring.ts';
import { migrations } from './migrations/index.ts';
import { createPasswords } from './passwords.ts';
import { createSeal } from './seal.ts';
import { createUserService } from './service.ts';
import { createSessions } from './sessions.ts';
import { readOperator, type UserSettings } from './settings.ts';
import { createUserStore } from './store/index.ts';
import { createAccessTokens } from './tokens.ts';

export interface UserContextOptions {
  database: Database;
  clock: Clock;
  random: Random;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  /** Its verifier may take its keys from this very context's `keys`: they are read when asked for. */
  guard: Guard;
  settings: UserSettings;
}

export interface UserContext extends Context {
  routes: ReturnType<typeof createUserRoutes>;
  /** The key set, for verifiers in the same process. */
  keys: KeySource;
  /** Migrates, makes the first signing key and the operator's account; before anything else runs. */
  prepare(): Promise<void>;
}

const dayMs = 24 * 60 * 60 * 1000;
const sweepEveryMs = 60 * 60 * 1000;
const sweepRowsMax = 1_000;

/** People, credentials, tokens, key set. Throws ConfigError when the operator is half configured. */
export function createUserContext(options: UserContextOptions): UserContext {
  const { database, clock, random, ids, log, metrics, guard, settings } = options;
  const operator = readOperator(settings);
  const store = createUserStore(database);
  const keyring = createKeyring({
    store,
    seal: createSeal(settings.SIGNING_KEY_SECRET, random),
    clock,
    random,
    log,
    refreshMs: settings.SIGNING_KEYS_REFRESH_SECONDS * 1000,
  });
  const passwords = createPasswords({
    metrics,
    parallelMax: settings.PASSWORD_HASHES_PARALLEL_MAX,
    waitingMax: settings.PASSWORD_HASHES_WAITING_MAX,
  });
  const accessTokens = createAccessTokens({
    keyring,
    clock,
    ids,
    issuer: settings.TOKEN_ISSUER,
    audience: settings.TOKEN_AUDIENCE,
    lifeSeconds: settings.ACCESS_TOKEN_SECONDS,
  });
  const refreshLifeMs = settings.REFRESH_TOKEN_DAYS * dayMs;
  const sessions = createSessions({ store, accessTokens, clock, random, ids, log, metrics, refreshLifeMs });
  const service = createUserService({ store, passwords, sessions, clock, ids, log, metrics });

  return {
    name: 'user',
    routes: createUserRoutes({ guard, service, sessions, keys: keyring.keySet }),
    workers: [
      createLoop({
        name: 'user.sweep',
        clock,
        log,
        idleMs: sweepEveryMs,
        step: async () => (await store.sweep(clock.nowMs(), sweepRowsMax)) >= sweepRowsMax,
      }),
    ],
    checks: { postgres: () => database.ping() },
    keys: keyring.keySet,
    async prepare() {
      await migrate(database, migrations, log);
      await keyring.prepare();
      if (operator !== undefined) await service.ensureOperator(operator);
    },
  };
}
