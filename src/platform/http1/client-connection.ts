import type { Socket } from 'bun';
import { type Exchange, ExchangeFailure, type FailureReason, type ResponseFlow } from './exchange.ts';
import { RequestWriter } from './request-writer.ts';
import { createResponseReader } from './response-reader.ts';

/** One connection to an instance; carries one exchange at a time. */
export interface ClientConnection {
  /** Sends the request of an exchange; only when none is in flight. */
  start(exchange: Exchange): void;
  /** The exchange in flight. */
  currentExchange(): Exchange | undefined;
  isOpen(): boolean;
  /** Since when there is no exchange. Unix milliseconds, set by the owner. */
  idleSinceMs: number;
  /** When bytes were last transferred, or the connection was opened. */
  lastProgressMs: number;
  isPaused(): boolean;
  /** Closes it, and fails the exchange in flight with this reason. */
  destroy(reason: FailureReason, cause?: unknown): void;
}

/** The client that keeps the connections. */
export interface ClientConnectionOwner {
  host: string;
  headBytesMax: number;
  nowMs(): number;
  /** The connection may carry another exchange. */
  onIdle(connection: ClientConnection): void;
  onClosed(connection: ClientConnection): void;
}

/** A connection with the handlers of its socket's events. */
export interface SocketBoundConnection extends ClientConnection {
  onOpen(socket: Socket<SocketBoundConnection>): void;
  onData(bytes: Buffer): void;
  onDrain(): void;
  onClose(cause?: unknown): void;
}

/** Pauses the reading of a connection while an answer's reader is slower. */
class PausableFlow implements ResponseFlow {
  socket: Pick<Socket<unknown>, 'pause' | 'resume'> | undefined;
  isPaused = false;

  constructor(
    private readonly onResumed: () => void,
    readonly abandon: () => void,
  ) {}

  pause(): void {
    this.isPaused = true;
    this.socket?.pause();
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.onResumed();
    this.socket?.resume();
  }
}

/** connecting ──► open ──► closed; an exchange may be started in the first two states. */
export function createClientConnection(owner: ClientConnectionOwner): SocketBoundConnection {
  let current: Exchange | undefined;
  let state: 'connecting' | 'open' | 'closed' = 'connecting';

  const reader = createResponseReader(
    {
      onHead: (head) => current?.onHead(head),
      onBody: (bytes, start, end) => current?.onBody(bytes, start, end),
      onEnd: () => current?.onEnd(),
    },
    owner.headBytesMax,
  );
  const flow = new PausableFlow(onProgress, () => destroy('cancelled'));
  const writer = new RequestWriter({
    onProgress,
    onLost: () => destroy('lost'),
    onStreamFailed: (error) => destroy('cancelled', error),
  });

  const self: SocketBoundConnection = {
    idleSinceMs: 0,
    lastProgressMs: owner.nowMs(),
    currentExchange: () => current,
    isOpen: () => state === 'open',
    isPaused: () => flow.isPaused,
    start(exchange) {
      current = exchange;
      if (state === 'open') begin(exchange);
    },
    onOpen(opened) {
      if (state === 'closed') return void opened.terminate();
      writer.socket = opened;
      flow.socket = opened;
      state = 'open';
      opened.setNoDelay(true);
      if (current !== undefined) begin(current);
    },
    onData,
    onDrain: () => writer.onDrain(),
    onClose(cause) {
      if (state === 'closed') return;
      try {
        // A body without a length is complete when its connection ends.
        if (state === 'open') reader.finish();
        destroy('lost', cause);
      } catch (error) {
        destroy('lost', cause ?? error);
      }
    },
    destroy,
  };
  return self;

  function onProgress(): void {
    self.lastProgressMs = owner.nowMs();
  }

  function begin(exchange: Exchange): void {
    self.lastProgressMs = owner.nowMs();
    reader.expectResponse(exchange.request.method);
    try {
      writer.send(exchange.request, owner.host, () => current === exchange && state === 'open');
    } catch (error) {
      destroy('malformed', error);
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
    if (exchange.mayReuseConnection() && writer.isComplete()) {
      current = undefined;
      flow.resume();
      owner.onIdle(self);
      // An answer that came before all of the request was sent: the rest must not precede another request.
    } else destroy('lost');
  }

  function destroy(reason: FailureReason, cause?: unknown): void {
    if (state === 'closed') return;
    const wasOpen = state === 'open';
    state = 'closed';
    writer.socket?.terminate();
    writer.onClose();
    const failed = current;
    current = undefined;
    const shownReason = wasOpen || reason !== 'lost' ? reason : 'not_connected';
    failed?.fail(new ExchangeFailure(shownReason, writer.wasSent, cause));
    owner.onClosed(self);
  }
}
