import type { LimitClass } from '@platform/http/edge-policy.ts';
import type { GatewaySettings } from '../settings.ts';
import type { RateLimiter, RateLimits } from './limits.ts';

/** The limiter of a class, and its policy as the RateLimit-Policy header shows it (draft-ietf-httpapi-ratelimit-headers). */
export interface ClassLimit {
  limiter: RateLimiter;
  policyText: string;
}

export function createClassLimits(
  limits: RateLimits,
  settings: GatewaySettings,
): Record<LimitClass, ClassLimit> {
  const perMinute = (name: LimitClass, quota: number): ClassLimit => ({
    limiter: limits(name, { quota, windowMs: 60_000 }),
    policyText: `"${name}";q=${quota};w=60`,
  });
  return {
    auth: perMinute('auth', settings.LIMIT_AUTH_PER_MINUTE),
    position: perMinute('position', settings.LIMIT_POSITION_PER_MINUTE),
    read: perMinute('read', settings.LIMIT_READ_PER_MINUTE),
    write: perMinute('write', settings.LIMIT_WRITE_PER_MINUTE),
    realtime: perMinute('realtime', settings.LIMIT_REALTIME_PER_MINUTE),
    document: perMinute('document', settings.LIMIT_DOCUMENT_PER_MINUTE),
  };
}
