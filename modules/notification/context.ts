import type { Guard } from '@platform/auth/guard.ts';
import type { Verifier } from '@platform/auth/verifier.ts';
import type { Bus } from '@platform/bus/bus.ts';
import type { Clock } from '@platform/clock.ts';
import type { Context } from '@platform/context.ts';
import { readOrigins } from '@platform/http/origins.ts';
import { createLoop, type Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Random } from '@platform/random.ts';
import type { Fanout } from './fanout/fanout.ts';
import type { PersonInbox } from './inbox/inbox.ts';
import { createNotificationRoutes } from './index.ts';
import { beatsPerHeartbeat, type Connections, createConnections } from './live/connections.ts';
import { createSnapshots } from './live/snapshots.ts';
import { createRealtimeSocket } from './live/socket.ts';
import { createLiveTopics, type LiveTopics } from './live/topics.ts';
import type { ActiveTrips, PositionSink } from './ports.ts';
import { createPush, pushQueue } from './push.ts';
import type { Rides } from './rides/rides.ts';
import { createRealtimeService } from './service.ts';
import type { NotificationSettings } from './settings.ts';
import type { Tickets } from './tickets/tickets.ts';

export interface NotificationDeps {
  bus: Bus;
  inbox: PersonInbox;
  tickets: Tickets;
  fanout: Fanout;
  rides: Rides;
  positions: PositionSink;
  trips: ActiveTrips;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
  guard: Guard;
  /** Of whoever verifies the tokens here: who is thrown out must not stay connected. */
  endedSessions: Verifier['endedSessions'];
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
    snapshots: createSnapshots(deps),
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
    allowedOrigins: readOrigins(settings.CORS_ORIGINS),
    framesPerSecondMax: settings.SOCKET_FRAMES_PER_SECOND_MAX,
  });
  const push = createPush({
    bus,
    inbox,
    fanout,
    rides: deps.rides,
    clock,
    metrics,
    prefetch: settings.NOTIFICATION_PREFETCH,
  });

  return {
    name: 'notification',
    routes: createNotificationRoutes({ guard, service }),
    sockets: [socket],
    queues: [{ queue: pushQueue }],
    // Stopped from the last to the first: people are sent elsewhere before anything else ends.
    workers: [
      { name: 'notification.positions', start: async () => {}, stop: () => positions.drain() },
      ...upkeep(deps, connections, topics),
      push,
      { name: 'notification.connections', start: async () => {}, stop: async () => connections.drain() },
    ],
    checks: { 'notification.inbox': () => inbox.ping() },
    /** Live connections of this instance. */
    connections: () => connections.count(),
  } satisfies Context & Record<string, unknown>;
}

const sessionsCheckMs = 1_000;

/** What keeps live connections true: listening to the other instances, checks for lost pushes, heartbeats. */
function upkeep(
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
      await fanout.check();
      await connections.check();
      await topics.check();
      return false;
    },
  });
  const heartbeat = createLoop({
    name: 'notification.heartbeat',
    clock,
    log,
    idleMs: (settings.HEARTBEAT_SECONDS * 1000) / beatsPerHeartbeat,
    async step() {
      connections.beat();
      return false;
    },
  });
  const sessions = createLoop({
    name: 'notification.sessions',
    clock,
    log,
    idleMs: sessionsCheckMs,
    async step() {
      // Nobody connected: nothing to ask for.
      if (connections.count() > 0) connections.endSessions(await endedSessions());
      return false;
    },
  });
  const listening: Worker = {
    name: 'notification.fanout',
    start: () =>
      fanout.start({
        deliver: connections.deliver,
        signal: connections.signal,
        broadcast: topics.broadcast,
        missed() {
          topics.missed();
          check.nudge();
        },
      }),
    stop: () => fanout.stop(),
  };
  return [listening, check, heartbeat, sessions];
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
