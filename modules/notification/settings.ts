import { setting } from '@platform/config.ts';
import { originsSetting } from '@platform/http/origins.ts';
import { type Static, Type } from '@sinclair/typebox';

export const notificationSettings = Type.Object({
  CORS_ORIGINS: originsSetting,
  TICKET_SECONDS: setting.integer('how long a ticket may wait to be used, in seconds', 1, 300, 30),
  INBOX_LENGTH_MAX: setting.integer('events kept for a person to resume from', 10, 10_000, 500),
  INBOX_HOURS: setting.integer('how long events are kept after the last one, in hours', 1, 720, 24),
  INBOX_CHECK_SECONDS: setting.integer(
    'how often the inboxes of live people are looked at for lost pushes, in seconds',
    1,
    300,
    10,
  ),
  PRESENCE_SECONDS: setting.integer(
    'how long an instance that went silent counts as holding its people, in seconds; more than two checks',
    3,
    900,
    30,
  ),
  HEARTBEAT_SECONDS: setting.integer('the time between pings on a connection, in seconds', 1, 60, 4),
  PEER_GONE_SECONDS: setting.integer('silence after which a peer counts as gone, in seconds', 2, 300, 7),
  SOCKETS_PER_PERSON_MAX: setting.integer('live connections of one person to one instance', 1, 100, 5),
  SOCKETS_MAX: setting.integer('live connections of one instance', 1, 1_000_000, 18_000),
  SOCKET_QUEUE_BYTES_MAX: setting.integer(
    'what may wait for a slow reader before events wait in the inbox instead, in bytes',
    1_024,
    16_777_216,
    65_536,
  ),
  SLOW_READER_SECONDS: setting.integer('how long a reader may hold events up, in seconds', 1, 300, 10),
  SOCKET_ERRORS_PER_MINUTE_MAX: setting.integer('refused frames a minute of one connection', 1, 10_000, 30),
  SOCKET_FRAMES_PER_SECOND_MAX: setting.integer('frames a second of one connection', 1, 1_000_000, 200),
  SOCKET_POSITION_WINDOW_MS: setting.integer(
    'how long positions from connections are gathered for one call of the driver service, in milliseconds',
    0,
    50,
    25,
  ),
  NOTIFICATION_PREFETCH: setting.integer('events that are pushed at the same time', 1, 1_000, 100),
});
export type NotificationSettings = Static<typeof notificationSettings>;
