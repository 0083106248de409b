import { type ClientFrame, ServerFrame } from '@contracts/realtime.ts';
import { compileSchema } from './http.ts';

export type SendFrame = (frame: ClientFrame) => void;

export interface SocketHandlers {
  onOpen(send: SendFrame): void;
  onFrame(frame: ServerFrame, send: SendFrame): void;
  /** A message is not a frame of the contract. */
  onInvalidFrame(): void;
}

export interface SocketResult {
  wasOpened: boolean;
  code: number;
}

const serverFrameSchema = compileSchema(ServerFrame);
const handshakeTimeoutMs = 10_000;

/** Runs one WebSocket from its handshake to its close. Never throws; closes the socket when `until` aborts. */
export async function runSocket(
  url: string,
  handlers: SocketHandlers,
  until: AbortSignal,
): Promise<SocketResult> {
  const { promise, resolve } = Promise.withResolvers<SocketResult>();
  const socket = new WebSocket(url);
  const send: SendFrame = (frame) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  };
  let wasOpened = false;
  const closeSocket = () => socket.close(1000);
  const handshakeTimer = setTimeout(closeSocket, handshakeTimeoutMs);
  until.addEventListener('abort', closeSocket, { once: true });
  socket.onopen = () => {
    clearTimeout(handshakeTimer);
    wasOpened = true;
    handlers.onOpen(send);
  };
  socket.onmessage = ({ data }) => {
    const frame = parse(data);
    if (frame === undefined) handlers.onInvalidFrame();
    else handlers.onFrame(frame, send);
  };
  socket.onclose = ({ code }) => resolve({ wasOpened, code });
  const result = await promise;
  clearTimeout(handshakeTimer);
  until.removeEventListener('abort', closeSocket);
  return result;
}

function parse(data: unknown): ServerFrame | undefined {
  try {
    const frame: unknown = JSON.parse(String(data));
    return serverFrameSchema.Check(frame) ? frame : undefined;
  } catch {
    return undefined;
  }
}
