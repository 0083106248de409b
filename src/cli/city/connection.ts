import { type ClientFrame, ServerFrame } from '@contracts/realtime.ts';
import { shape } from './http.ts';

export type Send = (frame: ClientFrame) => void;

export interface ConnectionHandlers {
  onOpen(send: Send): void;
  onFrame(frame: ServerFrame, send: Send): void;
  /** A message that is no frame of the contract. */
  onUnreadable(): void;
}

export interface Closed {
  opened: boolean;
  code: number;
}

const frameShape = shape(ServerFrame);
const handshakeTimeoutMs = 10_000;

/** One WebSocket, from its handshake to its close. Never throws; leaves when `until` aborts. */
export async function connect(
  url: string,
  handlers: ConnectionHandlers,
  until: AbortSignal,
): Promise<Closed> {
  const { promise, resolve } = Promise.withResolvers<Closed>();
  const socket = new WebSocket(url);
  const send: Send = (frame) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  };
  let opened = false;
  const leave = () => socket.close(1000);
  const giveUp = setTimeout(leave, handshakeTimeoutMs);
  until.addEventListener('abort', leave, { once: true });
  socket.onopen = () => {
    clearTimeout(giveUp);
    opened = true;
    handlers.onOpen(send);
  };
  socket.onmessage = ({ data }) => {
    const frame = parse(data);
    if (frame === undefined) handlers.onUnreadable();
    else handlers.onFrame(frame, send);
  };
  socket.onclose = ({ code }) => resolve({ opened, code });
  const closed = await promise;
  clearTimeout(giveUp);
  until.removeEventListener('abort', leave);
  return closed;
}

function parse(data: unknown): ServerFrame | undefined {
  try {
    const frame: unknown = JSON.parse(String(data));
    return frameShape.Check(frame) ? frame : undefined;
  } catch {
    return undefined;
  }
}
