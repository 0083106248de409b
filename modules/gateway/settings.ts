import { isHostName, setting } from '@platform/config.ts';
import { originsSetting } from '@platform/http/origins.ts';
import { upstreamSettings } from '@platform/upstream/settings.ts';
import { type Static, Type } from '@sinclair/typebox';

export const gatewaySettings = Type.Object({
  ...upstreamSettings,
  LIMIT_AUTH_PER_MINUTE: setting.integer(
    'login and registration requests per minute from one address',
    1,
    1_000_000,
    60,
  ),
  LIMIT_POSITION_PER_MINUTE: setting.integer('position requests per minute of one driver', 1, 1_000_000, 600),
  LIMIT_READ_PER_MINUTE: setting.integer('reads per minute of one person', 1, 1_000_000, 1200),
  LIMIT_WRITE_PER_MINUTE: setting.integer('writes per minute of one person', 1, 1_000_000, 300),
  LIMIT_REALTIME_PER_MINUTE: setting.integer(
    'tickets per minute of one person, and WebSocket handshakes per minute from one address',
    1,
    1_000_000,
    120,
  ),
  LIMIT_DOCUMENT_PER_MINUTE: setting.integer(
    'requests per minute for API pages and documents from one address',
    1,
    1_000_000,
    60,
  ),
  TRUSTED_PROXY_HOPS: setting.integer('trusted proxies in front, whose X-Forwarded-For is used', 0, 5, 0),
  ADMISSION_REQUESTS_MIN: setting.integer('requests in flight that are always admitted', 1, 10_000, 32),
  ADMISSION_REQUESTS_MAX: setting.integer('requests in flight at most', 1, 100_000, 512),
  ADMISSION_SLOW_MS: setting.integer('milliseconds after which a response counts as slow', 10, 10_000, 150),
  ADMISSION_LAG_MS_MAX: setting.integer(
    'milliseconds of timer lag above which requests are shed',
    5,
    1_000,
    12,
  ),
  CORS_ORIGINS: originsSetting,
  ALLOWED_HOSTS: setting.list(
    'the host names that clients may use, separated by commas; * for any',
    isHostName,
    { default: '*' },
  ),
});
export type GatewaySettings = Static<typeof gatewaySettings>;
