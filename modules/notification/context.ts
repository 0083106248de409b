import type { Guard } from '@platform/auth/guard.ts';
import type { Verifier } from '@platform/auth/verifier.ts';
import type { Bus } from '@platform/bus/bus.ts';
import type { Clock } from '@platform/clock.ts';
import type { Context } from '@platform/context.ts';
import { parseOrigins } from '@platform/http/origins.ts';
import { createLoop, type Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Random } from '@platform/random.ts';
import { createNotificationConsumer, pushQueue } from './consumers.ts';
import type { Fanout } from './fanout/fanout.ts';
import type { TripFollowers } from './followers/trip-followers.ts';
import type { PersonInbox } from './inbox/inbox.ts';
import { createNotificationRoutes } from './index.ts';
import { type Connections, createConnections, ticksPerHeartbeat } from './live/connections.ts';
import { createSnapshotReader } from './live/snapshots.ts';
import { createRealtimeSocket } from './live/socket.ts';
import { createLiveTopics, type LiveTopics } from './live/topics.ts';
import type { ActiveTrips, PositionSink } from './ports.ts';
import { createRealtimeService } from './service.ts';
import type { NotificationSettings } from './settings.ts';
import type { Tickets } from './tickets/tickets.ts';

export interface NotificationDeps {
  bus: Bus;
  inbox: PersonInbox;
  tickets: Tickets;
  fanout: Fanout;
  tripFollowers: TripFollowers;
  positions: PositionSink;
  trips: ActiveTrips;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  guard: Guard;
  /** Revoked login sessions as the token verifier knows them: their live connections are closed. */
  endedSessions: Verifier['loadRevokedSessions'];
  settings: NotificationSettings;
}

export function createNotificationContext(deps: NotificationDeps) {
  const { bus, inbox, tickets, fanout, positions, clock, random, log, metrics, guard, settings } = deps;
  const service = createRealtimeService({
    tickets,
    clock,
    random,
    ticketTtlMs: settings.TICKET_SECONDS * 1000,
  });
  const connections = createConnections({
    inbox,
    snapshots: createSnapshotReader(deps),
    fanout,
    clock,
    random,
    log,
    metrics,
    bounds: boundsOf(settings),
  });
  const topics = createLiveTopics({ fanout, clock, log, metrics });
  const socket = createRealtimeSocket({
    tickets,
    connections,
    topics,
    positions,
    clock,
    log,
    metrics,
    allowedOrigins: parseOrigins(settings.CORS_ORIGINS),
    framesPerSecondMax: settings.SOCKET_FRAMES_PER_SECOND_MAX,
  });
  const push = createNotificationConsumer({
    bus,
    inbox,
    fanout,
    tripFollowers: deps.tripFollowers,
    clock,
    metrics,
    prefetch: settings.NOTIFICATION_PREFETCH,
  });

  return {
    name: 'notification',
    routes: createNotificationRoutes({ guard, service }),
    socketRoutes: [socket],
    queues: [{ queue: pushQueue }],
    // Workers stop from last to first, so clients are sent to another instance before anything else stops.
    workers: [
      { name: 'notification.positions', start: async () => {}, stop: () => positions.drain() },
      ...createMaintenanceWorkers(deps, connections, topics),
      push,
      { name: 'notification.connections', start: async () => {}, stop: async () => connections.drain() },
    ],
    readinessChecks: { 'notification.inbox': () => inbox.ping() },
    /** The number of live connections of this instance. */
    connections: () => connections.count(),
  } satisfies Context & Record<string, unknown>;
}

const endedSessionsIntervalMs = 1_000;

/** Background work for live connections: the fan-out subscription, checks for lost pushes, heartbeats, ended login sessions. */
function createMaintenanceWorkers(
  { fanout, clock, log, settings, endedSessions }: NotificationDeps,
  connections: Connections,
  topics: LiveTopics,
): Worker[] {
  const check = createLoop({
    name: 'notification.check',
    clock,
    log,
    idleMs: settings.INBOX_CHECK_SECONDS * 1000,
    async step() {
      await fanout.checkSubscription();
      await connections.checkInboxes();
      await topics.dropUnusedTopics();
      return false;
    },
  });
  const heartbeat = createLoop({
    name: 'notification.heartbeat',
    clock,
    log,
    idleMs: (settings.HEARTBEAT_SECONDS * 1000) / ticksPerHeartbeat,
    async step() {
      connections.heartbeat();
      return false;
    },
  });
  const sessions = createLoop({
    name: 'notification.sessions',
    clock,
    log,
    idleMs: endedSessionsIntervalMs,
    async step() {
      // Without connections there is nothing to close, so the ended sessions are not fetched.
      if (connections.count() > 0) connections.closeEndedSessions(await endedSessions());
      return false;
    },
  });
  const fanoutSubscription: Worker = {
    name: 'notification.fanout',
    start: () =>
      fanout.start({
        onDelivery: connections.deliver,
        onTransientFrame: connections.deliverTransient,
        onBroadcast: topics.broadcast,
        onMissed() {
          topics.onMissed();
          check.wake();
        },
      }),
    stop: () => fanout.stop(),
  };
  return [fanoutSubscription, check, heartbeat, sessions];
}

function boundsOf(settings: NotificationSettings) {
  const heartbeatMs = settings.HEARTBEAT_SECONDS * 1000;
  return {
    queueBytesMax: settings.SOCKET_QUEUE_BYTES_MAX,
    slowReaderMs: settings.SLOW_READER_SECONDS * 1000,
    // A peer must have had time to answer at least one ping.
    peerGoneMs: Math.max(settings.PEER_GONE_SECONDS * 1000, heartbeatMs * 1.5),
    errorsPerMinuteMax: settings.SOCKET_ERRORS_PER_MINUTE_MAX,
    perPersonMax: settings.SOCKETS_PER_PERSON_MAX,
    countMax: settings.SOCKETS_MAX,
  };
}
