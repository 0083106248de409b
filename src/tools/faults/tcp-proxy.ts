import { connect as connectSocket, createServer, type Socket } from 'node:net';

/** A TCP proxy in front of a server, to break its connections in the ways that networks do. */
export interface TcpProxy {
  port: number;
  /** `url` with the proxy in the place of its host and port. */
  rewriteUrl(url: string): string;
  connectionCount(): number;
  /** Connections that ever came, those turned away included. */
  acceptedCount(): number;
  /** Closes every connection at once; new ones may come. */
  closeConnections(): void;
  /** Also refuses new connections, until `resume`. */
  refuseConnections(): void;
  /** Connections stay, no byte passes either way and none is told, until `resume`. New ones hang too. */
  pause(): void;
  /**
   * Half-open: the connections of now never pass another byte and hear of no end until `resume`, which
   * closes them. New ones work.
   */
  makeHalfOpen(): void;
  /** Each connection of now: what it asks next reaches the server, the answer is lost and the connection cut. */
  dropNextReply(): void;
  resume(): void;
  /** New connections go to the host and port of `target` from now on; those of now stay where they are. */
  redirectNewConnections(target: string): void;
  /** The same, and those of now are closed. */
  switchTarget(target: string): void;
  /** Sends bytes to every client as if they came from the server. */
  injectToClients(bytes: Uint8Array): void;
  close(): Promise<void>;
}

type State = 'open' | 'paused' | 'down';

interface Pair {
  client: Socket;
  server: Socket;
  isStranded: boolean;
  losesReply: boolean;
}

/** Forwards to the host and port of `target` (any URL with a port). */
export async function createTcpProxy(target: string): Promise<TcpProxy> {
  let destination = destinationOf(target);
  const pairs = new Set<Pair>();
  let state: State = 'open';
  let accepted = 0;

  const server = createServer({ pauseOnConnect: true, noDelay: true }, (client) => {
    accepted++;
    if (state === 'down') {
      client.destroy();
      return;
    }
    const outer = connectSocket({ ...destination, noDelay: true });
    const pair: Pair = { client, server: outer, isStranded: false, losesReply: false };
    pairs.add(pair);
    link(pair, client, outer);
    link(pair, outer, client);
    if (state === 'paused') outer.pause();
    else client.resume();
  });

  function link(pair: Pair, from: Socket, to: Socket): void {
    from.on('data', (bytes) => {
      if (pair.losesReply && from === pair.server) return end(pair);
      if (!to.write(bytes)) from.pause();
    });
    to.on('drain', () => {
      if (state !== 'paused' && !pair.isStranded) from.resume();
    });
    from.on('error', () => undefined);
    from.on('end', () => to.end());
    from.on('close', () => end(pair));
  }

  function end(pair: Pair): void {
    pairs.delete(pair);
    pair.client.destroy();
    pair.server.destroy();
  }

  function closeConnections(): void {
    for (const pair of pairs) end(pair);
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
      state = 'down';
      closeConnections();
    },
    pause() {
      state = 'paused';
      for (const pair of pairs) hush(pair);
    },
    makeHalfOpen() {
      for (const pair of pairs) {
        pair.isStranded = true;
        hush(pair);
      }
    },
    dropNextReply() {
      for (const pair of pairs) pair.losesReply = true;
    },
    resume() {
      state = 'open';
      for (const pair of pairs) {
        if (pair.isStranded) end(pair);
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

function hush({ client, server }: Pair): void {
  client.pause();
  server.pause();
}
