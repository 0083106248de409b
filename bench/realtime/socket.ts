import type { Socket, SocketHandler } from 'bun';
import { createFrameReader, encodeClientFrame, type FrameReader } from './frames.ts';

/** Receives the events of the raw clients of one process. */
export interface RawListener {
  onText(client: number, payload: Uint8Array | undefined): void;
  onClose(client: number, code: number): void;
}

export interface RawClientsOptions {
  hostname: string;
  port: number;
  /** One socket is opened for each path. */
  paths: readonly string[];
}

export interface RawClients {
  send(client: number, text: string): void;
  close(): void;
}

interface State {
  client: number;
  path: string;
  reader: FrameReader | undefined;
  head: string;
  upgraded: PromiseWithResolvers<void>;
}

// Concurrent handshakes: the backlog of the listening socket is not part of the measurement.
const concurrentHandshakesMax = 200;
const headEnd = '\r\n\r\n';
const encoder = new TextEncoder();

/** Opens cheap WebSocket connections over raw TCP: frames are counted and pings answered. */
export async function openRawClients(
  target: RawClientsOptions,
  listener: RawListener,
  payloads = false,
): Promise<RawClients> {
  const sockets: Socket<State>[] = [];
  const { hostname, port, paths } = target;
  const handlers: SocketHandler<State> = {
    open(socket) {
      const key = Buffer.from(String(socket.data.client).padStart(16, '0')).toString('base64');
      socket.write(
        `GET ${socket.data.path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\n` +
          `Connection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13${headEnd}`,
      );
    },
    data(socket, chunk) {
      if (socket.data.reader === undefined) completeHandshake(socket, chunk);
      else socket.data.reader.read(chunk);
    },
    close: ({ data }) => data.upgraded.reject(new Error('connection closed before the handshake')),
  };

  for (let start = 0; start < paths.length; start += concurrentHandshakesMax)
    await Promise.all(
      paths.slice(start, start + concurrentHandshakesMax).map((path, index) => open(start + index, path)),
    );

  return {
    send: (client, text) => void sockets[client]?.write(encodeClientFrame('text', encoder.encode(text))),
    close() {
      for (const socket of sockets) socket.terminate();
    },
  };

  async function open(client: number, path: string): Promise<void> {
    const upgraded = Promise.withResolvers<void>();
    const data: State = { client, path, reader: undefined, head: '', upgraded };
    sockets[client] = await Bun.connect<State>({ hostname, port, data, socket: handlers });
    await upgraded.promise;
  }

  function completeHandshake(socket: Socket<State>, chunk: Uint8Array) {
    const { data } = socket;
    data.head += Buffer.from(chunk).toString('latin1');
    const end = data.head.indexOf(headEnd);
    if (end < 0) return;
    if (!data.head.startsWith('HTTP/1.1 101'))
      return data.upgraded.reject(new Error(`handshake refused: ${data.head.slice(0, 200)}`));
    const { client } = data;
    data.reader = createFrameReader(
      {
        onText: (payload) => listener.onText(client, payload),
        onPing: (payload) => void socket.write(encodeClientFrame('pong', payload)),
        onClose: (code) => listener.onClose(client, code),
      },
      payloads,
    );
    data.reader.read(Buffer.from(data.head.slice(end + headEnd.length), 'latin1'));
    data.head = '';
    data.upgraded.resolve();
  }
}
