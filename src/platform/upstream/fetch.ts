import type { Clock } from '../clock.ts';
import { encodeUtf8 } from '../http1/binary.ts';
import { parseFieldLines } from '../http1/fields.ts';
import type { Reply } from '../http1/reply.ts';
import type { UpstreamSend } from './send.ts';
import type { Upstream } from './upstream.ts';

/** One request of ours to a service. */
export interface UpstreamCall {
  method?: string;
  /** Path and query. */
  target: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
  timeoutMs: number;
  /** It may be done twice, so it goes to another instance when one is lost. */
  isRepeatable: boolean;
}

/** Sends a call to one of a service's instances. Rejects with a fault `upstream.…` when no whole answer came. */
export type UpstreamFetch = (call: UpstreamCall) => Promise<Response>;

export interface UpstreamFetchOptions {
  upstream: Upstream;
  send: UpstreamSend;
  clock: Clock;
}

/** What a service calls another one with: the balanced client, in the shapes of `fetch`. */
export const createUpstreamFetch =
  ({ upstream, send, clock }: UpstreamFetchOptions): UpstreamFetch =>
  async ({ method = 'GET', target, headers = {}, body, timeoutMs, isRepeatable }) =>
    responseOf(
      await send(
        upstream,
        {
          method,
          target,
          lines: linesOf(headers),
          body: body === undefined ? undefined : encodeUtf8(body),
          isAbandoned: neverGone,
          dueMs: clock.nowMs() + timeoutMs,
        },
        isRepeatable,
      ),
    );

const neverGone = () => false;

const fitsLine = /^[\x20-\x7e]*$/;

function linesOf(headers: Readonly<Record<string, string>>): string {
  let lines = '';
  for (const [name, value] of Object.entries(headers)) {
    if (!fitsLine.test(value)) throw new TypeError(`the value of ${name} does not fit in a header line`);
    lines += `${name}: ${value}\r\n`;
  }
  return lines;
}

function responseOf({ status, lines, body }: Reply): Response {
  const content = typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
  return new Response(bodyless.has(status) ? null : content, { status, headers: parseFieldLines(lines) });
}

const bodyless: ReadonlySet<number> = new Set([204, 205, 304]);
