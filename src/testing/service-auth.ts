import { headers } from '@contracts/common.ts';
import { createServiceCredentials, createServiceGuard } from '@platform/auth/service-tokens.ts';
import type { Clock } from '@platform/clock.ts';

const secret = 's'.repeat(32);

/** The guard of the internal routes of `service`, for tests. */
export const testServiceGuard = (service: string, clock: Clock) =>
  createServiceGuard({ secret, service, clock });

/** Credentials of another service in the same deployment, for tests. */
export const testServiceCredentials = (clock: Clock) =>
  createServiceCredentials({ secret, service: 'test', clock });

/** The headers that authenticate a call of another service to `service`. */
export const serviceAuthHeaders = (service: string, clock: Clock): Record<string, string> => ({
  [headers.serviceToken]: testServiceCredentials(clock).tokenFor(service),
});
