import { isHostName, setting } from '@platform/config.ts';
import { originsSetting } from '@platform/http/origins.ts';
import { upstreamSettings } from '@platform/upstream/settings.ts';
import { type Static, Type } from '@sinclair/typebox';

export const gatewaySettings = Type.Object({
  ...upstreamSettings,
  LIMIT_AUTH_PER_MINUTE: setting.integer('sign-in requests a minute from one address', 1, 1_000_000, 60),
  LIMIT_POSITION_PER_MINUTE: setting.integer('position requests a minute of one driver', 1, 1_000_000, 600),
  LIMIT_READ_PER_MINUTE: setting.integer('reads a minute of one person', 1, 1_000_000, 1200),
  LIMIT_WRITE_PER_MINUTE: setting.integer('writes a minute of one person', 1, 1_000_000, 300),
  LIMIT_REALTIME_PER_MINUTE: setting.integer(
    'tickets a minute of one person, and WebSocket handshakes a minute from one address',
    1,
    1_000_000,
    120,
  ),
  LIMIT_DOCUMENT_PER_MINUTE: setting.integer(
    'pages and documents of the API a minute to one address',
    1,
    1_000_000,
    60,
  ),
  TRUSTED_PROXY_HOPS: setting.integer('proxies of ours in front, whose X-Forwarded-For is believed', 0, 5, 0),
  ADMISSION_REQUESTS_MIN: setting.integer('requests under way that are never too many', 1, 10_000, 32),
  ADMISSION_REQUESTS_MAX: setting.integer('requests under way at the most', 1, 100_000, 512),
  ADMISSION_SLOW_MS: setting.integer('milliseconds after which an answer counts as slow', 10, 10_000, 150),
  ADMISSION_LAG_MS_MAX: setting.integer(
    'milliseconds that the process may be late for its own timers before it sheds',
    5,
    1_000,
    12,
  ),
  CORS_ORIGINS: originsSetting,
  ALLOWED_HOSTS: setting.list(
    'the names that clients may call us by, separated by commas; * for any',
    isHostName,
    { default: '*' },
  ),
});
export type GatewaySettings = Static<typeof gatewaySettings>;
