import { setting } from '@platform/config.ts';
import { originsSetting } from '@platform/http/origins.ts';
import { type Static, Type } from '@sinclair/typebox';

export const notificationSettings = Type.Object({
  CORS_ORIGINS: originsSetting,
  TICKET_SECONDS: setting.integer('lifetime of an unused ticket, in seconds', 1, 300, 30),
  INBOX_LENGTH_MAX: setting.integer('events kept in the inbox of one person', 10, 10_000, 500),
  INBOX_HOURS: setting.integer('how long an inbox is kept after its last event, in hours', 1, 720, 24),
  INBOX_CHECK_SECONDS: setting.integer('interval between checks for lost pushes, in seconds', 1, 300, 10),
  PRESENCE_SECONDS: setting.integer(
    'lifetime of presence that an instance does not renew, in seconds; more than two check intervals',
    3,
    900,
    30,
  ),
  HEARTBEAT_SECONDS: setting.integer('interval between pings on a live connection, in seconds', 1, 60, 4),
  PEER_GONE_SECONDS: setting.integer(
    'time without a sign of life after which a client counts as gone, in seconds',
    2,
    300,
    7,
  ),
  SOCKETS_PER_PERSON_MAX: setting.integer(
    'maximum live connections of one person to one instance',
    1,
    100,
    5,
  ),
  SOCKETS_MAX: setting.integer('maximum live connections of one instance', 1, 1_000_000, 18_000),
  SOCKET_QUEUE_BYTES_MAX: setting.integer(
    'socket buffer of a slow reader, in bytes; beyond it, events wait in the inbox',
    1_024,
    16_777_216,
    65_536,
  ),
  SLOW_READER_SECONDS: setting.integer(
    'how long a slow reader may block its events before it is disconnected, in seconds',
    1,
    300,
    10,
  ),
  SOCKET_ERRORS_PER_MINUTE_MAX: setting.integer(
    'maximum rejected frames of one connection in a minute',
    1,
    10_000,
    30,
  ),
  SOCKET_FRAMES_PER_SECOND_MAX: setting.integer(
    'maximum frames of one connection in a second',
    1,
    1_000_000,
    200,
  ),
  SOCKET_POSITION_WINDOW_MS: setting.integer(
    'how long positions from live connections are batched for one call of the driver service, in milliseconds',
    0,
    50,
    25,
  ),
  NOTIFICATION_PREFETCH: setting.integer('maximum events in flight in the push consumer', 1, 1_000, 100),
});
export type NotificationSettings = Static<typeof notificationSettings>;
