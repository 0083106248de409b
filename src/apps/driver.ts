import { createDriverContext } from '@modules/driver/context.ts';
import { driverSettings } from '@modules/driver/settings.ts';
import { createGuard } from '@platform/auth/guard.ts';
import { Type } from '@sinclair/typebox';
import { openRedisFollowers, openRedisPositionIndex } from './adapters.ts';
import { createRemoteVerifier, openBus, openDatabase, serviceGuardOf } from './infrastructure.ts';
import { createRuntime, type Environment, main, type RunningProcess } from './process.ts';
import { startService } from './service.ts';
import {
  busSettings,
  databaseSettings,
  positionRedisSettings,
  trustSettings,
  userUpstreamSettings,
} from './settings.ts';
import { openUpstreams } from './upstreams.ts';

export const driverProcessSettings = Type.Object({
  ...databaseSettings,
  ...busSettings,
  ...positionRedisSettings,
  ...trustSettings,
  ...userUpstreamSettings,
  ...driverSettings.properties,
});

/** Starts the driver service: positions, availability, vehicles, candidates, holds. */
export function startDriver(env: Environment): Promise<RunningProcess> {
  const runtime = createRuntime('driver', driverProcessSettings, env);
  const { callers, workers } = openUpstreams(runtime, { user: runtime.settings.USER_URL });
  const bus = openBus(runtime);
  const verifier = createRemoteVerifier(runtime, callers.user);
  const guard = createGuard(verifier);
  const driver = createDriverContext({
    ...runtime,
    database: openDatabase(runtime, 'driver'),
    bus,
    index: openRedisPositionIndex(runtime),
    followers: openRedisFollowers(runtime),
    guard,
    serviceGuard: serviceGuardOf(runtime),
  });
  return startService(runtime, driver, { operatorRoutes: { bus, guard }, verifier, workers });
}

if (import.meta.main) main(startDriver);
