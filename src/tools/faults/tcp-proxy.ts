import { connect as connectSocket, createServer, type Socket } from 'node:net';

/** A TCP proxy in front of a server that breaks connections in the ways that networks do. */
export interface TcpProxy {
  port: number;
  /** Replaces the host and port of `url` by those of the proxy. */
  rewriteUrl(url: string): string;
  connectionCount(): number;
  /** All connections ever accepted, including those that were refused. */
  acceptedCount(): number;
  /** Closes every connection. New ones are accepted. */
  closeConnections(): void;
  /** Closes every connection and refuses new ones until `resume`. */
  refuseConnections(): void;
  /** Forwards no byte in either direction until `resume`. All connections stay open; new ones hang too. */
  pause(): void;
  /** Present connections forward nothing and stay open until `resume` closes them. New ones work. */
  makeHalfOpen(): void;
  /** On each present connection the next request reaches the server, its reply is dropped and the connection is closed. */
  dropNextReply(): void;
  resume(): void;
  /** Sends new connections to the host and port of `target`. Present ones stay where they are. */
  redirectNewConnections(target: string): void;
  /** Sends new connections to `target` and closes the present ones. */
  switchTarget(target: string): void;
  /** Sends bytes to every client as if they came from the server. */
  injectToClients(bytes: Uint8Array): void;
  close(): Promise<void>;
}

type State = 'open' | 'paused' | 'refusing';

interface ConnectionPair {
  client: Socket;
  server: Socket;
  isHalfOpen: boolean;
  dropsNextReply: boolean;
}

/** Forwards to the host and port of `target` (any URL with a port). */
export async function createTcpProxy(target: string): Promise<TcpProxy> {
  let destination = destinationOf(target);
  const pairs = new Set<ConnectionPair>();
  let state: State = 'open';
  let accepted = 0;

  const server = createServer({ pauseOnConnect: true, noDelay: true }, (client) => {
    accepted++;
    if (state === 'refusing') {
      client.destroy();
      return;
    }
    const serverSocket = connectSocket({ ...destination, noDelay: true });
    const pair: ConnectionPair = { client, server: serverSocket, isHalfOpen: false, dropsNextReply: false };
    pairs.add(pair);
    connectPair(pair, { isPaused: () => state === 'paused', onClose: () => pairs.delete(pair) });
    if (state === 'paused') serverSocket.pause();
    else client.resume();
  });

  function closeConnections(): void {
    for (const pair of pairs) closePair(pair);
    pairs.clear();
  }

  const listening = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', listening.resolve);
  await listening.promise;
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;

  return {
    port,
    rewriteUrl(url) {
      const proxied = new URL(url);
      proxied.hostname = '127.0.0.1';
      proxied.port = String(port);
      return proxied.href;
    },
    connectionCount: () => pairs.size,
    acceptedCount: () => accepted,
    closeConnections,
    refuseConnections() {
      state = 'refusing';
      closeConnections();
    },
    pause() {
      state = 'paused';
      for (const pair of pairs) pausePair(pair);
    },
    makeHalfOpen() {
      for (const pair of pairs) {
        pair.isHalfOpen = true;
        pausePair(pair);
      }
    },
    dropNextReply() {
      for (const pair of pairs) pair.dropsNextReply = true;
    },
    resume() {
      state = 'open';
      for (const pair of pairs) {
        if (pair.isHalfOpen) {
          pairs.delete(pair);
          closePair(pair);
        }
        pair.client.resume();
        pair.server.resume();
      }
    },
    redirectNewConnections(next) {
      destination = destinationOf(next);
    },
    switchTarget(next) {
      destination = destinationOf(next);
      closeConnections();
    },
    injectToClients(bytes) {
      for (const { client } of pairs) client.write(bytes);
    },
    async close() {
      closeConnections();
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      await closed.promise;
    },
  };
}

function destinationOf(target: string): { host: string; port: number } {
  const { hostname, port } = new URL(target);
  return { host: hostname, port: Number(port) };
}

interface PairContext {
  isPaused(): boolean;
  onClose(): void;
}

/** Forwards bytes in both directions until one side closes. */
function connectPair(pair: ConnectionPair, { isPaused, onClose }: PairContext): void {
  forward(pair.client, pair.server);
  forward(pair.server, pair.client);

  function forward(from: Socket, to: Socket): void {
    from.on('data', (bytes) => {
      if (pair.dropsNextReply && from === pair.server) return close();
      if (!to.write(bytes)) from.pause();
    });
    to.on('drain', () => {
      if (!isPaused() && !pair.isHalfOpen) from.resume();
    });
    from.on('error', () => undefined);
    from.on('end', () => to.end());
    from.on('close', close);
  }

  function close(): void {
    onClose();
    closePair(pair);
  }
}

function closePair({ client, server }: ConnectionPair): void {
  client.destroy();
  server.destroy();
}

function pausePair({ client, server }: ConnectionPair): void {
  client.pause();
  server.pause();
}
