import type { Clock } from '@platform/clock.ts';
import { decideLimit, type RateLimits } from './limits.ts';

const clientsMax = 100_000;

/** Limits of one process. Past `clientsMax` a limiter forgets the clients that it has not seen for longest. */
export const createMemoryLimits =
  (clock: Clock): RateLimits =>
  (_, policy) => {
    const arrivalMsByClient = new Map<string, number>();
    return {
      take(clientId) {
        const nowMs = clock.nowMs();
        const decision = decideLimit(nowMs, arrivalMsByClient.get(clientId) ?? nowMs, policy);
        arrivalMsByClient.delete(clientId);
        arrivalMsByClient.set(clientId, decision.arrivalMs);
        if (arrivalMsByClient.size > clientsMax)
          arrivalMsByClient.delete(arrivalMsByClient.keys().next().value ?? '');
        return decision;
      },
    };
  };
