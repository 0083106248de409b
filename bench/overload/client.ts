import type { Socket } from 'bun';

/** One keep-alive connection with one request at a time. */
export interface OverloadClient {
  send(request: Buffer, onResponse: (status: number) => void): void;
  close(): void;
}

const headEnd = Buffer.from('\r\n\r\n');
const lengthPattern = /\r\ncontent-length: *(\d+)/i;

/** Connects a client that is as cheap as possible: it reads only status and content length of a response. */
export async function connectClient(hostname: string, port: number): Promise<OverloadClient> {
  let waiting: ((status: number) => void) | undefined;
  let received: Buffer = Buffer.alloc(0);
  let socket: Socket<undefined> | undefined;

  const open = async () => {
    received = Buffer.alloc(0);
    socket = await Bun.connect({
      hostname,
      port,
      socket: {
        data(_, chunk) {
          received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
          const status = takeResponse();
          if (status !== undefined) finish(status);
        },
        close(closed) {
          if (socket !== closed) return;
          socket = undefined;
          finish(0);
        },
      },
    });
  };
  await open();

  return {
    send(request, onResponse) {
      waiting = onResponse;
      // A server may close an idle connection; the client then reconnects instead of failing the request.
      if (socket === undefined)
        open()
          .then(() => write(request))
          .catch(() => finish(0));
      else write(request);
    },
    close: () => void socket?.end(),
  };

  /** A socket that does not accept the whole request at once counts as broken: a responsive peer always does. */
  function write(request: Buffer): void {
    if (socket !== undefined && socket.write(request) === request.length) return;
    socket?.terminate();
    socket = undefined;
    finish(0);
  }

  /** Removes the first complete response from the buffer and returns its status. */
  function takeResponse(): number | undefined {
    const headLength = received.indexOf(headEnd);
    if (headLength < 0) return undefined;
    const head = received.toString('latin1', 0, headLength);
    const length = headLength + headEnd.length + Number(lengthPattern.exec(head)?.[1] ?? 0);
    if (received.length < length) return undefined;
    received = received.subarray(length);
    return Number(head.slice(9, 12));
  }

  function finish(status: number): void {
    const onResponse = waiting;
    waiting = undefined;
    onResponse?.(status);
  }
}
