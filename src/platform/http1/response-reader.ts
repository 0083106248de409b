import { MalformedMessage } from '../http-message/malformed-message.ts';
import { createMessageReader, type MessageSink } from './message-reader.ts';
import { parseResponseHead, type ResponseHead } from './response-head.ts';

/** Receives the parts of one response after the other. */
export interface ResponseSink extends Pick<MessageSink, 'onBody' | 'onEnd'> {
  onHead(head: ResponseHead): void;
}

export interface ResponseReader {
  /** A request with this method was sent; its response comes next. */
  expectResponse(method: string): void;
  /** Throws MalformedMessage, also when no response was expected; the reader is unusable afterwards. */
  feed(bytes: Buffer): void;
  /** The peer sends nothing more. Throws MalformedMessage when the response is not complete. */
  finish(): void;
}

const interimResponsesMax = 8;

/** Reads HTTP/1.1 responses from bytes that arrive in any pieces. `headBytesMax` bounds a head, and the trailers. */
export function createResponseReader(sink: ResponseSink, headBytesMax: number): ResponseReader {
  let method = '';
  let interimCount = 0;
  const messages = createMessageReader(
    {
      onHead(text) {
        const head = parseResponseHead(text, method);
        if (head.status === 101) throw new MalformedMessage('switches protocols without being asked');
        if (head.status < 200) {
          if (++interimCount > interimResponsesMax) throw new MalformedMessage('too many interim responses');
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
    expectResponse(requestMethod) {
      method = requestMethod;
      interimCount = 0;
      messages.begin();
    },
    feed(bytes) {
      if (messages.feed(bytes) < bytes.length) throw new MalformedMessage('bytes after the response');
    },
    finish: () => messages.finish(),
  };
}
