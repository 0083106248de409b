import { type Binary, binaryOf } from './binary.ts';
import type { OutgoingRequest } from './outgoing-request.ts';
import type { Reply } from './reply.ts';
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
  response: Promise<Reply>;
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
  const { promise, resolve, reject } = Promise.withResolvers<Reply>();
  let head: ResponseHead | undefined;
  /** What of the body came before anybody could read it. */
  let gathered: Binary = '';
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
    body(bytes, start, end) {
      if (controller === undefined) gathered += binaryOf(bytes, start, end);
      else controller.enqueue(bytes.subarray(start, end));
    },
    end() {
      over = true;
      if (controller !== undefined) controller.close();
      else if (head !== undefined)
        resolve(replyOf(head, head.framing.kind === 'none' ? undefined : gathered));
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
          if (gathered !== '') given.enqueue(Buffer.from(gathered, 'latin1'));
          gathered = '';
        },
        pull: () => flow.resume(),
        cancel() {
          over = true;
          flow.abandon();
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: streamedBytesAhead }),
    );
    resolve(replyOf(received, body));
  }
}

const replyOf = ({ status, lines }: ResponseHead, body: Reply['body']): Reply => ({ status, lines, body });
