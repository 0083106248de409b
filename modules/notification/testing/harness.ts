import type { DomainEvent, EventType, TripEventType } from '@contracts/events.ts';
import type { DriverId, EventId, PaymentId, PersonId, RiderId } from '@contracts/ids.ts';
import type { Role } from '@contracts/people.ts';
import { type EventFrame, type ServerFrame, Ticket } from '@contracts/realtime.ts';
import { createMemoryBus } from '@platform/bus/memory.ts';
import { type Clock, systemClock } from '@platform/clock.ts';
import { loadConfig } from '@platform/config.ts';
import { type HttpServer, serve } from '@platform/http/server.ts';
import { createIds } from '@platform/ids.ts';
import { createLog } from '@platform/log.ts';
import { createMetrics, type Metrics } from '@platform/metrics.ts';
import { systemRandom } from '@platform/random.ts';
import { Value } from '@sinclair/typebox/value';
import { sampleTripEvent } from '@testing/events.ts';
import { createTestHttpApp } from '@testing/http-app.ts';
import { createTestTokens, type TestTokens } from '@testing/tokens.ts';
import { until } from '@testing/until.ts';
import { createNotificationContext, type NotificationDeps } from '../context.ts';
import { createMemoryFanout, createMemoryFanoutHub, type MemoryFanoutHub } from '../fanout/memory.ts';
import { createMemoryTripFollowers } from '../followers/memory.ts';
import { createMemoryInbox } from '../inbox/memory.ts';
import type { ActiveTrips, PositionSink } from '../ports.ts';
import { notificationSettings } from '../settings.ts';
import { createMemoryTickets } from '../tickets/memory.ts';

type Parts = Pick<NotificationDeps, 'bus' | 'inbox' | 'tickets' | 'fanout' | 'tripFollowers'>;

export interface TestInstanceOptions extends Partial<Parts> {
  clock?: Clock;
  positions?: PositionSink;
  trips?: ActiveTrips;
  tokens?: TestTokens;
  hub?: MemoryFanoutHub;
  settings?: Record<string, string>;
  frameBytesMax?: number;
}

export interface TestInstance extends Parts {
  url: string;
  server: HttpServer;
  tokens: TestTokens;
  metrics: Metrics;
  connections(): number;
  /** Creates a ticket for this person over HTTP. */
  ticket(personId: PersonId, role?: Role, expiresInSeconds?: number): Promise<string>;
  /** Opens a live connection for this person and waits for its welcome. */
  connect(personId: PersonId, role?: Role): Promise<TestSocket>;
  /** Stops the workers in reverse order, which also closes the sockets. */
  drain(): Promise<void>;
  stop(): Promise<void>;
}

const newId = createIds(systemClock, systemRandom);
export const newPerson = (): PersonId => newId<PersonId>();
const noPositions: PositionSink = { record: async () => [], drain: async () => undefined };

const noTrips: ActiveTrips = { findByPeople: async () => [] };

/** Starts one instance of the notification context behind a real server, with in-memory adapters by default. */
export async function startTestInstance(options: TestInstanceOptions = {}): Promise<TestInstance> {
  const { clock = systemClock, hub = createMemoryFanoutHub() } = options;
  const log = createLog('silent');
  const metrics = createMetrics();
  const tokens = options.tokens ?? createTestTokens(clock);
  const settings = loadConfig(notificationSettings, options.settings ?? {});
  const parts: Parts = {
    bus: options.bus ?? createMemoryBus({ clock, random: systemRandom, log }),
    inbox:
      options.inbox ??
      createMemoryInbox({
        clock,
        hub,
        lengthMax: settings.INBOX_LENGTH_MAX,
        entriesTtlMs: settings.INBOX_HOURS * 3_600_000,
      }),
    tickets: options.tickets ?? createMemoryTickets(clock),
    fanout: options.fanout ?? createMemoryFanout(hub),
    tripFollowers: options.tripFollowers ?? createMemoryTripFollowers(clock),
  };
  const context = createNotificationContext({
    ...parts,
    positions: options.positions ?? noPositions,
    trips: options.trips ?? noTrips,
    clock,
    random: systemRandom,
    log,
    metrics,
    guard: tokens.guard,
    endedSessions: tokens.verifier.loadRevokedSessions,
    settings,
  });
  const app = createTestHttpApp({
    service: 'notification',
    clock,
    ids: createIds(clock, systemRandom),
    log,
    metrics,
    readinessChecks: context.readinessChecks,
  }).use(context.routes);
  for (const worker of context.workers) await worker.start();
  const server = serve({
    fetch: app.fetch,
    sockets: context.socketRoutes,
    hostname: '127.0.0.1',
    port: 0,
    requestTimeoutMs: 5_000,
    bodyBytesMax: 65_536,
    frameBytesMax: options.frameBytesMax ?? 16_384,
    socketBufferBytesMax: 1_048_576,
  });

  async function ticket(personId: PersonId, role: Role = 'rider', expiresInSeconds = 900): Promise<string> {
    const response = await fetch(`${server.url}/v1/realtime/ticket`, {
      method: 'POST',
      headers: tokens.bearer(personId, role, { expiresInSeconds }),
    });
    if (response.status !== 201)
      throw new Error(`failed to create a ticket: ${response.status} ${await response.text()}`);
    return Value.Parse(Ticket, await response.json()).ticket;
  }

  async function drain() {
    for (const worker of context.workers.toReversed()) await worker.stop();
  }

  return {
    ...parts,
    url: server.url,
    server,
    tokens,
    metrics,
    connections: context.connections,
    ticket,
    async connect(personId, role) {
      const socket = openSocket(server.url, await ticket(personId, role));
      await socket.waitForWelcome();
      return socket;
    },
    drain,
    async stop() {
      await drain();
      await server.stop(0);
    },
  };
}

export interface TestSocket {
  frames: ServerFrame[];
  /** The raw text of each frame. */
  texts: string[];
  /** Resolves to the `lastSeq` of the welcome. */
  waitForWelcome(): Promise<number>;
  events(): EventFrame[];
  seqs(): number[];
  errorCodes(): string[];
  send(frame: object | string | Uint8Array): void;
  /** Resolves to the first frame of this type. */
  waitForFrame(type: ServerFrame['type']): Promise<ServerFrame>;
  closed: Promise<{ code: number; reason: string }>;
  close(): void;
}

export function openSocket(url: string, ticket: string, headers: Record<string, string> = {}): TestSocket {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/realtime?ticket=${ticket}`, { headers });
  const frames: ServerFrame[] = [];
  const texts: string[] = [];
  const closing = Promise.withResolvers<{ code: number; reason: string }>();
  socket.onmessage = ({ data }) => {
    texts.push(String(data));
    frames.push(JSON.parse(String(data)));
  };
  socket.onclose = ({ code, reason }) => closing.resolve({ code, reason });
  const events = () => frames.filter((frame) => frame.type === 'event');
  const waitForFrame = (type: ServerFrame['type']) =>
    until(() => frames.find((sentFrame) => sentFrame.type === type), { describe: `a frame of type ${type}` });
  return {
    frames,
    texts,
    events,
    waitForFrame,
    seqs: () => events().map(({ seq }) => seq),
    errorCodes: () => frames.flatMap((sentFrame) => (sentFrame.type === 'error' ? [sentFrame.code] : [])),
    async waitForWelcome() {
      const welcome = await waitForFrame('welcome');
      return 'lastSeq' in welcome ? welcome.lastSeq : Number.NaN;
    },
    send: (sentFrame) =>
      socket.send(
        typeof sentFrame === 'string' || sentFrame instanceof Uint8Array
          ? sentFrame
          : JSON.stringify(sentFrame),
      ),
    closed: closing.promise,
    close: () => socket.close(),
  };
}

export interface TripPeople {
  rider: PersonId;
  driver?: PersonId | null;
  offered?: PersonId | null;
}

/** A sample trip event that concerns these people. */
export function tripEventOf<T extends TripEventType>(type: T, people: TripPeople): DomainEvent<T> {
  const event = sampleTripEvent<T>({ type });
  Object.assign(event.data, {
    riderId: people.rider,
    driverId: people.driver ?? null,
    offeredDriverId: people.offered ?? null,
  });
  return event;
}

/** A sample payment event that concerns these people. */
export function paymentEventOf<T extends Extract<EventType, `payment.${string}`>>(
  type: T,
  rider: PersonId,
  driver: PersonId,
): DomainEvent<T> {
  const { data: trip, time } = sampleTripEvent();
  return {
    id: newId<EventId>(),
    type,
    source: 'payment',
    subject: trip.tripId,
    time,
    data: {
      paymentId: newId<PaymentId>(),
      tripId: trip.tripId,
      riderId: rider as string as RiderId,
      driverId: driver as string as DriverId,
      status: 'captured',
      amount: trip.fare,
      refunded: { ...trip.fare, amountMinor: 0 },
      failureReason: null,
      at: time,
    },
  } as DomainEvent<T>;
}
