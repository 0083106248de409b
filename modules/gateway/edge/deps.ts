import type { Verifier } from '@platform/auth/verifier.ts';
import type { Clock } from '@platform/clock.ts';
import type { Ids } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { RateLimits } from '../limits/limits.ts';
import type { EdgeRouter } from '../routing/router.ts';
import type { GatewaySettings } from '../settings.ts';

export interface EdgeDeps {
  router: EdgeRouter;
  verifier: Verifier;
  limits: RateLimits;
  settings: GatewaySettings;
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
}
