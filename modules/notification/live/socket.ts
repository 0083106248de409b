import type { PositionFix } from '@contracts/drivers.ts';
import { asDriverId } from '@contracts/ids.ts';
import type { ClientFrame } from '@contracts/realtime.ts';
import type { Clock } from '@platform/clock.ts';
import {
  type Socket,
  type SocketHandlers,
  type SocketRoute,
  UpgradeResponse,
} from '@platform/http/server.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import { notificationProblem } from '../errors.ts';
import type { PositionSink } from '../ports.ts';
import type { TicketClaims, Tickets } from '../tickets/tickets.ts';
import type { Connection } from './connection.ts';
import type { Connections } from './connections.ts';
import { parseFrame } from './frames.ts';
import type { LiveTopics } from './topics.ts';
import { createWindowCounter, type WindowCounter } from './window-counter.ts';

export interface RealtimeSocketDeps {
  tickets: Tickets;
  connections: Connections;
  topics: LiveTopics;
  positions: PositionSink;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Web origins that may connect beside pages of our own host and clients that are no browser. */
  allowedOrigins: ReadonlySet<string>;
  framesPerSecondMax: number;
}

const ticketLengthMax = 200;

/** `GET /v1/realtime?ticket=…`: the only way in for live connections. */
export function createRealtimeSocket(options: RealtimeSocketDeps): SocketRoute {
  const { tickets, connections, allowedOrigins } = options;

  return {
    path: '/v1/realtime',
    attach: (sockets) => options.topics.attach(sockets),
    async accept(request) {
      assertOrigin(request, allowedOrigins);
      const refusal = connections.rejectionCode();
      if (refusal !== undefined) throw notificationProblem(refusal);
      const ticket = new URL(request.url).searchParams.get('ticket') ?? '';
      const holder =
        ticket === '' || ticket.length > ticketLengthMax ? undefined : await tickets.redeem(ticket);
      if (holder === undefined) throw notificationProblem('realtime.ticket_invalid');
      return new UpgradeResponse(new PersonSocket(options, holder));
    },
  };
}

/**
 * A page of another site can open a socket to us with a ticket that it got hold of; browsers always
 * say who they are in Origin, and only browsers are meant by it.
 */
function assertOrigin(request: Request, allowed: ReadonlySet<string>) {
  const origin = request.headers.get('origin');
  if (origin === null || allowed.has(origin)) return;
  // The edge forwards the name that the page knows, and takes off what clients write there.
  const host = request.headers.get('x-forwarded-host') ?? request.headers.get('host');
  if (!URL.canParse(origin) || new URL(origin).host !== host)
    throw notificationProblem('realtime.origin_forbidden');
}

/** One for each socket, idle or not: with the methods of a class, not with closures of its own. */
class PersonSocket implements SocketHandlers {
  private connection: Connection | undefined;
  private frames: WindowCounter | undefined;

  constructor(
    private readonly options: RealtimeSocketDeps,
    private readonly holder: TicketClaims,
  ) {}

  open(socket: Socket): void {
    const { connections } = this.options;
    this.connection = connections.open(this.holder, socket);
    // Ended while it was being opened: its close was before we knew of it.
    if (socket.readyState !== WebSocket.OPEN) connections.onClosed(this.connection);
  }

  message(socket: Socket, data: string | Uint8Array) {
    const { connection } = this;
    if (connection === undefined) return;
    connection.onActivity();
    this.frames ??= createWindowCounter(1_000);
    if (this.frames.increment(this.options.clock.nowMs()) > this.options.framesPerSecondMax)
      return connection.rejectFrame('realtime.too_many_frames');
    const read = parseFrame(data);
    if (read.kind === 'refused') connection.rejectFrame(read.code);
    else this.take(connection, socket, read.frame);
  }

  pong(): void {
    this.connection?.onActivity();
  }

  drain(): void {
    this.connection?.onDrain();
  }

  close(): void {
    if (this.connection !== undefined) this.options.connections.onClosed(this.connection);
  }

  private take(connection: Connection, socket: Socket, frame: ClientFrame) {
    switch (frame.type) {
      case 'resume':
        return connection.resume(frame.after);
      case 'ack':
        return connection.acknowledge(frame.seq);
      case 'subscribe':
        return void this.options.topics.subscribe(connection, socket, frame.topic);
      case 'unsubscribe':
        return this.options.topics.unsubscribe(connection, socket, frame.topic);
      case 'location': {
        const { type: _, ...fix } = frame;
        return this.locate(connection, [fix]);
      }
      case 'locations':
        return this.locate(connection, frame.points);
    }
  }

  private locate(connection: Connection, points: readonly PositionFix[]) {
    const { role, personId } = connection.claims;
    if (role !== 'driver') return connection.rejectFrame('realtime.role_forbidden');
    this.options.positions.record(asDriverId(personId), points).then(
      (refused) => {
        for (const code of refused) connection.sendError(code);
      },
      (error: unknown) => this.failed(connection, error),
    );
  }

  /** Of all that fail together one is told in the log. */
  private failed(connection: Connection, error: unknown) {
    const { clock, log, metrics } = this.options;
    metrics.count('notification_position_failures_total');
    if (failures.increment(clock.nowMs()) === 1) log.warn({ err: error }, 'positions were not recorded');
    connection.sendError('service.unavailable');
  }
}

const failures = createWindowCounter(1_000);
