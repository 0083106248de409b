import { connect } from 'node:net';

/** One response, read from the bytes of the connection. */
export interface RawResponse {
  status: number;
  /** By name in lower case; the values of repeated lines are joined by commas. */
  headers: Record<string, string>;
  body: string;
  /** The code of a problem. */
  code: string | undefined;
}

export interface RawRequestOptions {
  /** The client ends its side after the last byte, and still reads. */
  halfClose?: boolean;
  isHead?: boolean;
  timeoutMs?: number;
}

/**
 * Sends bytes on a new connection. Resolves to the first response, or undefined when the server closed without one.
 */
export function sendRawRequest(
  url: string,
  bytes: Uint8Array,
  { halfClose = false, isHead = false, timeoutMs = 10_000 }: RawRequestOptions = {},
): Promise<RawResponse | undefined> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    const timer = setTimeout(
      () => reject(new Error(`no response to ${Buffer.from(bytes).toString('latin1', 0, 80)}`)),
      timeoutMs,
    );
    const settle = (response: RawResponse | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(response);
    };
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const response = readResponse(received, isHead);
      if (response !== undefined) settle(response);
    });
    socket.on('end', () => settle(readResponse(received, isHead, true)));
    socket.on('error', () => settle(readResponse(received, isHead, true)));
    socket.write(bytes);
    if (halfClose) socket.end();
  });
}

function readResponse(bytes: Buffer, isHead: boolean, isClosed = false): RawResponse | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const [first = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  const status = Number(first.slice(9, 12));
  const rest = bytes.subarray(headEnd + 4);
  const body = readBody(rest, headers, isHead || status === 204, isClosed);
  if (body === undefined) return undefined;
  const isProblem = headers['content-type'] === 'application/problem+json' && body !== '';
  return { status, headers, body, code: isProblem ? JSON.parse(body).code : undefined };
}

function readBody(
  rest: Buffer,
  headers: Record<string, string>,
  hasNoBody: boolean,
  isClosed: boolean,
): string | undefined {
  if (hasNoBody) return '';
  if (headers['transfer-encoding'] === 'chunked')
    return isClosed || rest.includes('0\r\n\r\n') ? rest.toString() : undefined;
  const length = Number(headers['content-length'] ?? (isClosed ? rest.length : Number.POSITIVE_INFINITY));
  return rest.length >= length ? rest.toString('utf8', 0, length) : undefined;
}
