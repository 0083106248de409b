import { MalformedMessage } from './fields.ts';
import { createMessageReader, type MessageSink } from './message-reader.ts';
import { parseResponseHead, type ResponseHead } from './response-head.ts';

/** Hears one response after the other. */
export interface ResponseSink extends Pick<MessageSink, 'onBody' | 'onEnd'> {
  onHead(head: ResponseHead): void;
}

export interface ResponseReader {
  /** A request of this method was sent: its response comes next. */
  expectResponse(method: string): void;
  /** Throws MalformedMessage, also when nothing was expected; the reader is of no use after that. */
  feed(bytes: Buffer): void;
  /** The peer sends nothing more. Throws MalformedMessage when the response was not whole. */
  finish(): void;
}

const interimResponsesMax = 8;

/** Reads HTTP/1.1 responses from bytes that come in any pieces. `headBytesMax` bounds a head, and the trailers. */
export function createResponseReader(sink: ResponseSink, headBytesMax: number): ResponseReader {
  let method = '';
  let interim = 0;
  const messages = createMessageReader(
    {
      onHead(text) {
        const head = parseResponseHead(text, method);
        if (head.status === 101) throw new MalformedMessage('a switch of protocols that nobody asked for');
        if (head.status < 200) {
          if (++interim > interimResponsesMax) throw new MalformedMessage('one more interim answer');
          return undefined;
        }
        sink.onHead(head);
        return head.framing;
      },
      onBody: sink.onBody,
      onEnd: sink.onEnd,
    },
    headBytesMax,
  );

  return {
    expectResponse(asked) {
      method = asked;
      interim = 0;
      messages.begin();
    },
    feed(bytes) {
      if (messages.feed(bytes) < bytes.length) throw new MalformedMessage('more than one answer');
    },
    finish: () => messages.finish(),
  };
}
