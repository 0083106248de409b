import { asDriver } from '@contracts/ids.ts';
import type { ClientFrame } from '@contracts/realtime.ts';
import type { Clock } from '@platform/clock.ts';
import type { Socket, SocketHandlers, SocketRoute } from '@platform/http/server.ts';
import { fault } from '../errors.ts';
import { readFrame } from '../frames.ts';
import type { TicketHolder, Tickets } from '../tickets/tickets.ts';
import type { Connection, Peer } from './connection.ts';
import type { Connections } from './connections.ts';
import { createMeter } from './meter.ts';
import type { PositionGatherer } from './positions.ts';

export interface RealtimeSocketOptions {
  tickets: Tickets;
  connections: Connections;
  positions: PositionGatherer;
  clock: Clock;
  /** Web origins that may connect beside pages of our own host and clients that are no browser. */
  allowedOrigins: readonly string[];
  framesPerSecondMax: number;
}

const ticketLengthMax = 200;

/** `GET /v1/realtime?ticket=…`: the only way in for live connections. */
export function createRealtimeSocket(options: RealtimeSocketOptions): SocketRoute {
  const { tickets, connections, allowedOrigins } = options;

  return {
    path: '/v1/realtime',
    async accept(request) {
      assertOrigin(request, allowedOrigins);
      const refusal = connections.refusal();
      if (refusal !== undefined) throw fault(refusal);
      const ticket = new URL(request.url).searchParams.get('ticket') ?? '';
      const holder =
        ticket === '' || ticket.length > ticketLengthMax ? undefined : await tickets.redeem(ticket);
      if (holder === undefined) throw fault('realtime.ticket_invalid');
      return handlersOf(holder, options);
    },
  };
}

/**
 * A page of another site can open a socket to us with a ticket that it got hold of; browsers always
 * say who they are in Origin, and only browsers are meant by it.
 */
function assertOrigin(request: Request, allowed: readonly string[]) {
  const origin = request.headers.get('origin');
  if (origin === null || allowed.includes(origin)) return;
  // Behind the edge the name that the page knows comes forwarded; a page can't set that header.
  const host = request.headers.get('x-forwarded-host') ?? request.headers.get('host');
  if (!URL.canParse(origin) || new URL(origin).host !== host) throw fault('realtime.origin_forbidden');
}

function handlersOf(holder: TicketHolder, options: RealtimeSocketOptions): SocketHandlers {
  const { connections, positions, clock, framesPerSecondMax } = options;
  const frames = createMeter(1_000);
  let connection: Connection | undefined;
  const tell = (code: string) => connection?.tell(code);

  return {
    open(socket) {
      connection = connections.open(holder, peerOf(socket));
      // Ended while it was being opened: its close was before we knew of it.
      if (socket.readyState !== WebSocket.OPEN) connections.closed(connection);
    },
    message(_, data) {
      if (connection === undefined) return;
      connection.heard();
      if (frames.count(clock.nowMs()) > framesPerSecondMax)
        return connection.refuse('realtime.too_many_frames');
      const read = readFrame(data);
      if (read.kind === 'refused') return connection.refuse(read.code);
      take(connection, read.frame);
    },
    pong: () => connection?.heard(),
    drain: () => connection?.drained(),
    close() {
      if (connection !== undefined) connections.closed(connection);
    },
  };

  function take(to: Connection, frame: ClientFrame) {
    switch (frame.type) {
      case 'resume':
        return to.resume(frame.after);
      case 'ack':
        return to.acknowledge(frame.seq);
      case 'location': {
        if (holder.role !== 'driver') return to.refuse('realtime.role_forbidden');
        const { type: _, ...fix } = frame;
        return positions.add(asDriver(holder.personId), [fix], tell);
      }
      case 'locations':
        if (holder.role !== 'driver') return to.refuse('realtime.role_forbidden');
        return positions.add(asDriver(holder.personId), frame.points, tell);
    }
  }
}

function peerOf(socket: Socket): Peer {
  return {
    send: (text) => socket.send(text),
    queuedBytes: () => socket.getBufferedAmount(),
    ping: () => void socket.ping(),
    close: (code, reason) => socket.close(code, reason),
    terminate: () => socket.terminate(),
  };
}
