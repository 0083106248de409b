import type { Socket } from 'bun';
import { type BinaryString, writeBinary, writeBytes } from './binary.ts';
import { type Exchange, ExchangeFailure, type FailureReason } from './exchange.ts';
import { formatRequestHead } from './outgoing-request.ts';
import { createResponseReader } from './response-reader.ts';

/** One connection to an instance; carries one exchange at a time. */
export interface ClientConnection {
  /** Sends the request of an exchange; only when none is under way. */
  start(exchange: Exchange): void;
  /** Of the exchange that is under way. */
  currentExchange(): Exchange | undefined;
  isOpen(): boolean;
  /** No exchange, no byte, since then. Unix milliseconds, set by whoever keeps it. */
  idleSinceMs: number;
  /** When bytes last went on, or it was opened. */
  lastProgressMs: number;
  isPaused(): boolean;
  /** Ends it, and what is under way with that reason. */
  destroy(reason: FailureReason, cause?: unknown): void;
}

/** What the keeper of connections wants to hear. */
export interface ClientConnectionOwner {
  host: string;
  headBytesMax: number;
  nowMs(): number;
  /** It may carry another exchange. */
  onIdle(connection: ClientConnection): void;
  onClosed(connection: ClientConnection): void;
}

/** What the socket's events are handed to. */
export interface SocketBoundConnection extends ClientConnection {
  onOpen(socket: Socket<SocketBoundConnection>): void;
  onData(bytes: Buffer): void;
  onDrain(): void;
  onClose(cause?: unknown): void;
}

export function createClientConnection(owner: ClientConnectionOwner): SocketBoundConnection {
  let socket: Socket<SocketBoundConnection> | undefined;
  let current: Exchange | undefined;
  let state: 'connecting' | 'open' | 'closed' = 'connecting';
  let paused = false;
  let sent = false;
  let requestDone = true;
  /** Bytes that the socket did not take yet. */
  let unsent: Uint8Array | undefined;
  let writable: PromiseWithResolvers<void> | undefined;

  const reader = createResponseReader(
    {
      onHead: (head) => current?.onHead(head),
      onBody: (bytes, start, end) => current?.onBody(bytes, start, end),
      onEnd: () => current?.onEnd(),
    },
    owner.headBytesMax,
  );
  const flow = {
    pause() {
      paused = true;
      socket?.pause();
    },
    resume() {
      if (!paused) return;
      paused = false;
      self.lastProgressMs = owner.nowMs();
      socket?.resume();
    },
    abandon: () => destroy('cancelled'),
  };

  const self: SocketBoundConnection = {
    idleSinceMs: 0,
    lastProgressMs: owner.nowMs(),
    currentExchange: () => current,
    isOpen: () => state === 'open',
    isPaused: () => paused,
    start(exchange) {
      current = exchange;
      if (state === 'open') begin(exchange);
    },
    onOpen(opening) {
      if (state === 'closed') return void opening.terminate();
      socket = opening;
      state = 'open';
      opening.setNoDelay(true);
      if (current !== undefined) begin(current);
    },
    onData,
    onDrain() {
      const rest = unsent;
      unsent = undefined;
      if (rest !== undefined) write(rest);
    },
    onClose(cause) {
      if (state === 'closed') return;
      const wasConnecting = state === 'connecting';
      try {
        // A body that ends with its connection is whole now.
        if (!wasConnecting) reader.finish();
        destroy('lost', cause);
      } catch (error) {
        destroy('lost', cause ?? error);
      }
    },
    destroy,
  };
  return self;

  function begin(exchange: Exchange): void {
    const { request } = exchange;
    const { body } = request;
    sent = false;
    self.lastProgressMs = owner.nowMs();
    let head: BinaryString;
    try {
      head = formatRequestHead(request, owner.host);
    } catch (error) {
      destroy('malformed', error);
      return;
    }
    reader.expectResponse(request.method);
    requestDone = !(body instanceof ReadableStream);
    write(typeof body === 'string' ? head + body : head);
    if (body instanceof ReadableStream && self.isOpen()) void sendChunks(exchange, body);
  }

  /** Nothing is written while earlier bytes wait: that is their writer's business. */
  function write(data: BinaryString | Uint8Array): void {
    if (socket === undefined) throw new Error('written before it was open');
    const rest = typeof data === 'string' ? writeBinary(socket, data) : writeBytes(socket, data);
    if (rest === 'closed') {
      destroy('lost');
      return;
    }
    sent ||= rest === undefined || rest.length < data.length;
    unsent = rest;
    if (rest === undefined) writable?.resolve();
  }

  function whenWritable(): Promise<void> {
    writable = Promise.withResolvers<void>();
    return writable.promise;
  }

  async function sendChunks(exchange: Exchange, body: ReadableStream<Uint8Array>): Promise<void> {
    const source = body.getReader();
    const mine = () => current === exchange && state === 'open';
    try {
      for (;;) {
        while (unsent !== undefined && mine()) await whenWritable();
        const { done, value } = await source.read();
        if (!mine()) return void source.cancel().catch(() => undefined);
        self.lastProgressMs = owner.nowMs();
        if (done) break;
        if (value.length > 0)
          write(Buffer.concat([Buffer.from(`${value.length.toString(16)}\r\n`), value, crlf]));
      }
      write(lastChunk);
      requestDone = true;
    } catch (error) {
      // The client went away with half of it: the instance must never take that for the whole.
      if (mine()) destroy('cancelled', error);
    }
  }

  function onData(bytes: Buffer): void {
    const exchange = current;
    try {
      reader.feed(bytes);
    } catch (error) {
      destroy('malformed', error);
      return;
    }
    if (exchange === undefined || state === 'closed') return;
    self.lastProgressMs = owner.nowMs();
    exchange.onReadComplete(flow);
    if (!exchange.hasEnded()) return;
    // An answer before the request was all sent: what is left of it must not precede another one.
    if (!exchange.mayReuseConnection() || !requestDone || unsent !== undefined) {
      destroy('lost');
      return;
    }
    current = undefined;
    flow.resume();
    owner.onIdle(self);
  }

  function destroy(reason: FailureReason, cause?: unknown): void {
    if (state === 'closed') return;
    const connected = state === 'open';
    state = 'closed';
    socket?.terminate();
    writable?.resolve();
    const failed = current;
    current = undefined;
    failed?.fail(new ExchangeFailure(connected || reason !== 'lost' ? reason : 'not_connected', sent, cause));
    owner.onClosed(self);
  }
}

const crlf = Buffer.from('\r\n');
const lastChunk = Buffer.from('0\r\n\r\n');
