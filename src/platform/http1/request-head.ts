import { hopByHop } from './response-head.ts';

/** A request to an instance, ready to be written. */
export interface OutgoingRequest {
  method: string;
  /** Path and query. */
  target: string;
  /** Header lines as `createFieldLines` makes them; Host and the framing are added here. */
  fields: string;
  /** Bytes go with their length, a stream in chunks, and can't be sent twice. */
  body: Uint8Array | ReadableStream<Uint8Array> | undefined;
  /** Looked at every few milliseconds, not listened to: the client is gone, stop working for it. */
  signal: AbortSignal;
  /** Unix milliseconds until which the answer's head must be there. */
  dueMs: number;
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const originForm = /^\/[\x21-\x7e]*$/;
const forbiddenInValue = /[^\t\x20-\x7e\x80-\xff]/;
const methodsWithBody = new Set(['POST', 'PUT', 'PATCH']);

/** Made anew for each hop: by us, or by the server that already answered `Expect`. */
const remade = ['host', 'content-length', 'expect'];

// The same names come with every request: those known to be fit are not looked at again.
const fitNamesMax = 1_000;

/**
 * Makes the function that writes the header lines to send on: without those of the connection and those
 * that `Connection` names, without framing, Host and Expect, and those in `drops`. Names are in lower
 * case, as Headers gives them. The function throws TypeError for a value that would end its line early.
 */
export function createFieldLines(drops: Iterable<string>): (received: Headers) => string {
  const dropped = new Set([...hopByHop, ...remade, ...drops]);
  const fitNames = new Set<string>();

  return (received) => {
    const named = received.get('connection');
    const listed = named === null ? '' : `,${named.toLowerCase().replace(/[\t ]/g, '')},`;
    let lines = '';
    received.forEach((value, name) => {
      if (dropped.has(name)) return;
      if (listed !== '' && listed.includes(`,${name},`)) return;
      if (!fitNames.has(name)) checkName(name);
      if (forbiddenInValue.test(value)) throw new TypeError(`the header ${name} is not fit to send`);
      lines += `${name}: ${value}\r\n`;
    });
    return lines;
  };

  function checkName(name: string): void {
    if (!token.test(name)) throw new TypeError('the name of a header is not fit to send');
    if (fitNames.size < fitNamesMax) fitNames.add(name);
  }
}

/** The head, with its empty line. Throws TypeError on a method or target that would be read as something else. */
export function requestHead({ method, target, fields, body }: OutgoingRequest, host: string): string {
  if (!token.test(method)) throw new TypeError('not a method');
  if (!originForm.test(target)) throw new TypeError('not a target');
  return `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\n${fields}${framing(method, body)}\r\n`;
}

function framing(method: string, body: OutgoingRequest['body']): string {
  if (body === undefined) return methodsWithBody.has(method) ? 'content-length: 0\r\n' : '';
  return body instanceof Uint8Array ? `content-length: ${body.length}\r\n` : 'transfer-encoding: chunked\r\n';
}
