import type { OutgoingRequest } from './request-head.ts';
import type { ResponseHead } from './response-head.ts';
import type { ResponseSink } from './response-reader.ts';

/** Why there is no answer. */
export type FailureReason = 'not_connected' | 'lost' | 'malformed' | 'timed_out' | 'cancelled';

/** No answer. `sent` is false when no byte of the request can have been seen by the instance. */
export class ExchangeFailure extends Error {
  override readonly name = 'ExchangeFailure';
  constructor(
    readonly reason: FailureReason,
    readonly sent: boolean,
    cause?: unknown,
  ) {
    super(`${reason}${sent ? ', after it was sent' : ''}`, { cause });
  }
}

/** What an exchange may ask of the connection that it uses. */
export interface Flow {
  pause(): void;
  resume(): void;
  /** Nobody reads on: the connection is of no use any more. */
  abandon(): void;
}

/** One request and its answer. */
export interface Exchange extends ResponseSink {
  request: OutgoingRequest;
  /** Settles once the head is there, for a small answer once all of it is. */
  response: Promise<Response>;
  /** Whether the connection may carry another request; known when the head is there. */
  keepAlive(): boolean;
  ended(): boolean;
  /** Its answer is handed on while it comes, at the pace of whoever reads it. */
  streams(): boolean;
  /** The bytes that came together are taken in: what is not whole by now is streamed. */
  piece(flow: Flow): void;
  fail(failure: ExchangeFailure): void;
}

// An answer of a known length up to this is gathered before it is passed on: if its instance dies on the
// way, another one can still be asked. Larger ones, and those without a length, are streamed.
const gatheredBytesMax = 64 * 1024;
const streamedBytesAhead = 64 * 1024;

export function createExchange(request: OutgoingRequest): Exchange {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  let head: ResponseHead | undefined;
  let parts: Buffer[] = [];
  let gathers = false;
  let over = false;
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  return {
    request,
    response: promise,
    keepAlive: () => head?.keepAlive === true,
    ended: () => over,
    streams: () => controller !== undefined,
    head(received) {
      head = received;
      gathers = received.framing.kind === 'length' && received.framing.bytes <= gatheredBytesMax;
    },
    body(bytes) {
      if (controller === undefined) parts.push(bytes);
      else controller.enqueue(bytes);
    },
    end() {
      over = true;
      if (controller !== undefined) controller.close();
      else if (head !== undefined) resolve(responseOf(head, wholeBody(head, parts)));
    },
    piece(flow) {
      if (over || head === undefined || gathers) return;
      if (controller === undefined) stream(head, flow);
      else if ((controller.desiredSize ?? 0) <= 0) flow.pause();
    },
    fail(failure) {
      if (over) return;
      over = true;
      if (controller === undefined) reject(failure);
      else controller.error(failure);
    },
  };

  function stream(received: ResponseHead, flow: Flow): void {
    const body = new ReadableStream<Uint8Array>(
      {
        start(given) {
          controller = given;
          for (const part of parts) given.enqueue(part);
          parts = [];
        },
        pull: () => flow.resume(),
        cancel() {
          over = true;
          flow.abandon();
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: streamedBytesAhead }),
    );
    resolve(responseOf(received, body));
  }
}

const responseOf = (
  { status, headers }: ResponseHead,
  body: ReadableStream | Uint8Array<ArrayBuffer> | null,
) => new Response(body, { status, headers });

function wholeBody({ framing }: ResponseHead, parts: Buffer[]): Uint8Array<ArrayBuffer> | null {
  if (framing.kind === 'none') return null;
  const [only] = parts;
  return only !== undefined && parts.length === 1 ? new Uint8Array(only) : Buffer.concat(parts);
}
