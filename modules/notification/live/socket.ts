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
  /** Web origins that may connect, besides pages of the same host and clients that are not browsers. */
  allowedOrigins: ReadonlySet<string>;
  framesPerSecondMax: number;
}

const ticketLengthMax = 200;

/** `GET /v1/realtime?ticket=…`: the WebSocket route for all live connections. */
export function createRealtimeSocket(options: RealtimeSocketDeps): SocketRoute {
  const { tickets, connections, allowedOrigins } = options;

  return {
    path: '/v1/realtime',
    attach: (sockets) => options.topics.attach(sockets),
    async accept(request) {
      assertOrigin(request, allowedOrigins);
      const rejectionCode = connections.rejectionCode();
      if (rejectionCode !== undefined) throw notificationProblem(rejectionCode);
      const ticket = new URL(request.url).searchParams.get('ticket') ?? '';
      const claims =
        ticket === '' || ticket.length > ticketLengthMax ? undefined : await tickets.redeem(ticket);
      if (claims === undefined) throw notificationProblem('realtime.ticket_invalid');
      return new UpgradeResponse(new PersonSocket(options, claims));
    },
  };
}

/**
 * Rejects pages of other origins, which could otherwise open a socket with a stolen ticket. Browsers always send
 * Origin; other clients need not send it.
 */
function assertOrigin(request: Request, allowed: ReadonlySet<string>) {
  const origin = request.headers.get('origin');
  if (origin === null || allowed.has(origin)) return;
  // The edge sets x-forwarded-host to the public host and removes what clients send in it.
  const host = request.headers.get('x-forwarded-host') ?? request.headers.get('host');
  if (!URL.canParse(origin) || new URL(origin).host !== host)
    throw notificationProblem('realtime.origin_forbidden');
}

/** A class, so that each of the many idle sockets shares its methods instead of having its own closures. */
class PersonSocket implements SocketHandlers {
  private connection: Connection | undefined;
  private frames: WindowCounter | undefined;

  constructor(
    private readonly options: RealtimeSocketDeps,
    private readonly claims: TicketClaims,
  ) {}

  open(socket: Socket): void {
    const { connections } = this.options;
    this.connection = connections.open(this.claims, socket);
    // If the socket was closed while it was being opened, its close event came before the connection existed.
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
    else this.handleFrame(connection, socket, read.frame);
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

  private handleFrame(connection: Connection, socket: Socket, frame: ClientFrame) {
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
        return this.recordPositions(connection, [fix]);
      }
      case 'locations':
        return this.recordPositions(connection, frame.points);
    }
  }

  private recordPositions(connection: Connection, points: readonly PositionFix[]) {
    const { role, personId } = connection.claims;
    if (role !== 'driver') return connection.rejectFrame('realtime.role_forbidden');
    this.options.positions.record(asDriverId(personId), points).then(
      (rejectedCodes) => {
        for (const code of rejectedCodes) connection.sendError(code);
      },
      (error: unknown) => this.onRecordFailed(connection, error),
    );
  }

  /** One log line per second stands for all failures in it. */
  private onRecordFailed(connection: Connection, error: unknown) {
    const { clock, log, metrics } = this.options;
    metrics.count('notification_position_failures_total');
    if (failuresPerSecond.increment(clock.nowMs()) === 1)
      log.warn({ err: error }, 'failed to record positions from live connections');
    connection.sendError('service.unavailable');
  }
}

const failuresPerSecond = createWindowCounter(1_000);
