import type { Clock } from '../clock.ts';
import { encodeUtf8 } from '../http1/binary.ts';
import { parseFieldLines } from '../http1/fields.ts';
import type { Reply } from '../http1/reply.ts';
import type { UpstreamSend } from './send.ts';
import type { Upstream } from './upstream.ts';

/** A request from one service to another. */
export interface UpstreamCall {
  method?: string;
  /** Path and query. */
  target: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
  timeoutMs: number;
  /** Sending it twice has no further effect, so that it may be retried on another instance. */
  isRepeatable: boolean;
}

/** Sends a call to one of a service's instances. Rejects with a problem `upstream.…` when no complete answer arrived. */
export type UpstreamFetch = (call: UpstreamCall) => Promise<Response>;

export interface UpstreamFetchOptions {
  upstream: Upstream;
  send: UpstreamSend;
  clock: Clock;
}

/** The load-balanced client in the shape of `fetch`, for calls between services. */
export const createUpstreamFetch =
  ({ upstream, send, clock }: UpstreamFetchOptions): UpstreamFetch =>
  async ({ method = 'GET', target, headers = {}, body, timeoutMs, isRepeatable }) =>
    toResponse(
      await send(
        upstream,
        {
          method,
          target,
          lines: formatLines(headers),
          body: body === undefined ? undefined : encodeUtf8(body),
          isAbandoned: neverAbandoned,
          dueMs: clock.nowMs() + timeoutMs,
        },
        isRepeatable,
      ),
    );

const neverAbandoned = () => false;

const validValue = /^[\x20-\x7e]*$/;

function formatLines(headers: Readonly<Record<string, string>>): string {
  let lines = '';
  for (const [name, value] of Object.entries(headers)) {
    if (!validValue.test(value)) throw new TypeError(`invalid value of header ${name}`);
    lines += `${name}: ${value}\r\n`;
  }
  return lines;
}

function toResponse({ status, lines, body }: Reply): Response {
  const content = typeof body === 'string' ? Buffer.from(body, 'latin1') : body;
  return new Response(bodilessStatuses.has(status) ? null : content, {
    status,
    headers: parseFieldLines(lines),
  });
}

const bodilessStatuses: ReadonlySet<number> = new Set([204, 205, 304]);
