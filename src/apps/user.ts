import { createUserContext, type UserContext } from '@modules/user/context.ts';
import { userSettings } from '@modules/user/settings.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { Type } from '@sinclair/typebox';
import { createTokenVerifier, openBus, openDatabase, serviceGuardOf } from './infrastructure.ts';
import { createRuntime, type Environment, main, type RunningProcess } from './process.ts';
import { startService } from './service.ts';
import { busSettings, databaseSettings, trustSettings } from './settings.ts';

export const userProcessSettings = Type.Object({
  ...databaseSettings,
  ...busSettings,
  ...trustSettings,
  ...userSettings.properties,
});

/** Starts the user service: people, credentials, tokens, key set. */
export function startUser(env: Environment): Promise<RunningProcess> {
  const runtime = createRuntime('user', userProcessSettings, env);
  const user: UserContext = createUserContext({
    ...runtime,
    database: openDatabase(runtime, 'user'),
    bus: openBus(runtime),
    guard: createGuard(
      createTokenVerifier(runtime, {
        keys: () => user.keys(),
        revocations: (after) => user.revocations(after),
      }),
    ),
    serviceGuard: serviceGuardOf(runtime),
  });
  return startService(runtime, user, {});
}

if (import.meta.main) main(startUser);
