import { connect as connectSocket, createServer, type Socket } from 'node:net';

/** A TCP proxy in front of a server, to break its connections in the ways that networks do. */
export interface TcpProxy {
  port: number;
  /** `url` with the proxy in the place of its host and port. */
  through(url: string): string;
  connections(): number;
  /** Connections that ever came, those turned away included. */
  accepted(): number;
  /** Closes every connection at once; new ones may come. */
  cut(): void;
  /** Also refuses new connections, until `resume`. */
  down(): void;
  /** Half-open: connections stay, no byte passes either way and none is told, until `resume`. New ones hang too. */
  pause(): void;
  resume(): void;
  /** Sends bytes to every client as if they came from the server. */
  inject(bytes: Uint8Array): void;
  close(): Promise<void>;
}

type State = 'open' | 'paused' | 'down';

/** Forwards to the host and port of `target` (any URL with a port). */
export async function createTcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port: targetPort } = new URL(target);
  const pairs = new Set<readonly [Socket, Socket]>();
  let state: State = 'open';
  let accepted = 0;

  const server = createServer({ pauseOnConnect: true, noDelay: true }, (inner) => {
    accepted++;
    if (state === 'down') {
      inner.destroy();
      return;
    }
    const outer = connectSocket({ host: hostname, port: Number(targetPort), noDelay: true });
    const pair = [inner, outer] as const;
    pairs.add(pair);
    link(pair, inner, outer);
    link(pair, outer, inner);
    if (state === 'paused') outer.pause();
    else inner.resume();
  });

  function link(pair: readonly [Socket, Socket], from: Socket, to: Socket): void {
    from.on('data', (bytes) => {
      if (!to.write(bytes)) from.pause();
    });
    to.on('drain', () => {
      if (state !== 'paused') from.resume();
    });
    from.on('error', () => undefined);
    from.on('end', () => to.end());
    from.on('close', () => {
      pairs.delete(pair);
      to.destroy();
    });
  }

  function cut(): void {
    for (const sockets of pairs) for (const socket of sockets) socket.destroy();
    pairs.clear();
  }

  const listening = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', listening.resolve);
  await listening.promise;
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;

  return {
    port,
    through(url) {
      const proxied = new URL(url);
      proxied.hostname = '127.0.0.1';
      proxied.port = String(port);
      return proxied.href;
    },
    connections: () => pairs.size,
    accepted: () => accepted,
    cut,
    down() {
      state = 'down';
      cut();
    },
    pause() {
      state = 'paused';
      for (const sockets of pairs) for (const socket of sockets) socket.pause();
    },
    resume() {
      state = 'open';
      for (const sockets of pairs) for (const socket of sockets) socket.resume();
    },
    inject(bytes) {
      for (const [inner] of pairs) inner.write(bytes);
    },
    async close() {
      cut();
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      await closed.promise;
    },
  };
}
