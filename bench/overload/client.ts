import type { Socket } from 'bun';

/** One keep-alive connection, one request at a time. */
export interface Client {
  send(request: Buffer, answered: (status: number) => void): void;
  close(): void;
}

const headEnd = Buffer.from('\r\n\r\n');
const lengthPattern = /\r\ncontent-length: *(\d+)/i;

/** As cheap as a client can be, so that it is not what is measured: it reads statuses and lengths. */
export async function connectClient(hostname: string, port: number): Promise<Client> {
  let waiting: ((status: number) => void) | undefined;
  let received: Buffer = Buffer.alloc(0);
  let socket: Socket<undefined>;

  const open = () =>
    Bun.connect({
      hostname,
      port,
      socket: {
        data(_, chunk) {
          received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
          const status = take();
          if (status !== undefined) end(status);
        },
        close: () => end(0),
      },
    });
  socket = await open();

  /** The status of an answer that has come whole; forgets it. */
  function take(): number | undefined {
    const headLength = received.indexOf(headEnd);
    if (headLength < 0) return undefined;
    const head = received.toString('latin1', 0, headLength);
    const length = headLength + headEnd.length + Number(lengthPattern.exec(head)?.[1] ?? 0);
    if (received.length < length) return undefined;
    received = received.subarray(length);
    return Number(head.slice(9, 12));
  }

  function end(status: number): void {
    const answered = waiting;
    waiting = undefined;
    answered?.(status);
  }

  return {
    send(request, answered) {
      waiting = answered;
      if (socket.write(request) < request.length) {
        // Closed, or full: neither happens to a peer that answers. Told as no answer, on a new connection.
        socket.end();
        void open().then((again) => {
          socket = again;
        });
        end(0);
      }
    },
    close: () => void socket.end(),
  };
}
