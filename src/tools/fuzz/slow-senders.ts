import type { Clock } from '@platform/clock.ts';
import type { CaseGenerator, RoleTokens } from './case.ts';
import { isShed } from './expectations.ts';
import type { RandomPicker } from './values.ts';
import { sendOnNewConnection } from './wire.ts';

/** `firstBytes` are sent immediately, `repeatedBytes` then piece by piece without end. */
interface SlowRequest {
  kind: 'slow head' | 'slow body';
  label: string;
  first: string;
  rest?: string;
  /** Complete requests in `first`, which must be answered. */
  served?: number;
}

interface Route {
  line: string;
  token: string | undefined;
}

const head = (label: string, first: string, rest?: string): SlowRequest => ({
  kind: 'slow head',
  label,
  first,
  ...(rest === undefined ? {} : { rest }),
});

const initialHeads: readonly SlowRequest[] = [
  head('no bytes', ''),
  head('half a request line', 'GET /v1/us'),
  head('a request line byte by byte', 'GET /', 'a'),
  head('half a head', 'GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nx-half: '),
  head('a header byte by byte', 'GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nx-endless: ', 'a'),
  head('headers one by one', 'GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n', 'x-one: more\r\n'),
];
const headAfterRequest: SlowRequest = {
  ...head('half a request after a complete one', 'GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\nGET /he'),
  served: 1,
};

const length = 'content-length: 4000\r\n';
const chunked = 'transfer-encoding: chunked\r\n';
/** `first` follows the head with the framing `framing`. */
const slowBodies: readonly (readonly [label: string, framing: string, first: string, rest?: string])[] = [
  ['a body that never arrives', length, ''],
  ['a body after 100-continue that never arrives', `${length}expect: 100-continue\r\n`, ''],
  ['half a body', length, '{"pickup":'],
  ['a body byte by byte', length, '{', ' '],
  ['no chunk', chunked, ''],
  ['half a chunk', chunked, '80\r\n{"pickup":'],
  ['chunks of one byte', chunked, '1\r\n{\r\n', '1\r\n \r\n'],
  ['a chunk size byte by byte', chunked, '1;', 'a'],
  ['trailers one by one', chunked, '1\r\n{\r\n0\r\n', 'x-one: more\r\n'],
];

/** Slow senders that hold a connection as long as possible; with `keptAlive` also after a complete request. */
export function createSlowSenderCases(
  tokens: RoleTokens,
  keptAlive: boolean,
  picker: RandomPicker,
): CaseGenerator {
  const headTemplates = keptAlive ? [...initialHeads, headAfterRequest] : initialHeads;
  const routes: readonly Route[] = [
    { line: 'POST /v1/quotes', token: tokens.rider },
    { line: 'PUT /v1/drivers/me/location', token: tokens.driver },
    { line: 'POST /v1/drivers/me/locations', token: tokens.driver },
    { line: 'POST /v1/auth/login', token: undefined },
    { line: 'POST /v1/nowhere', token: undefined },
  ];
  return {
    next() {
      const {
        kind,
        label,
        first,
        rest,
        served = 0,
      } = picker.chance(0.4) ? picker.pick(headTemplates) : body();
      return {
        kind,
        label,
        parts: slowParts(first, rest),
        pauseMs: picker.integer(100, 1_000),
        isHead: false,
        needsOwnConnection: true,
        expects: { like: 'slow', served },
      };
    },
  };

  function body(): SlowRequest {
    const { line, token } = picker.pick(routes);
    const [label, framing, first, rest] = picker.pick(slowBodies);
    const authorization = token === undefined ? '' : `authorization: Bearer ${token}\r\n`;
    const lines = `${line} HTTP/1.1\r\nhost: 127.0.0.1\r\n${authorization}content-type: application/json\r\n`;
    return {
      kind: 'slow body',
      label: `${label}, ${line}`,
      first: `${lines}${framing}\r\n${first}`,
      ...(rest === undefined ? {} : { rest }),
    };
  }
}

function* slowParts(first: string, rest: string | undefined): Iterable<Uint8Array> {
  yield Buffer.from(first);
  while (rest !== undefined) yield Buffer.from(rest);
}

export interface ControlClientResult {
  /** The longest time that a request waited for its response. */
  waitedMsMax: number;
  /** Requests that were not served in time, each with a description. */
  unserved: string[];
}

const requestIntervalMs = 250;
// Slow senders may delay other clients a little, and a shed request is retried within this time.
const responseTimeoutMs = 5_000;

/** Runs one well-behaved client that sends requests on new connections until `isOver`. */
export async function runControlClient(
  port: number,
  token: string,
  clock: Clock,
  isFinished: () => boolean,
): Promise<ControlClientResult> {
  const text = `GET /v1/users/me HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${token}\r\n\r\n`;
  const request = {
    parts: [Buffer.from(text)],
    ...{ pauseMs: 0, untilClosed: false, isHead: false, answersMin: 1, timeoutMs: responseTimeoutMs },
  };
  const result: ControlClientResult = { waitedMsMax: 0, unserved: [] };
  for (; !isFinished(); await clock.sleep(requestIntervalMs)) {
    const startedAtMs = clock.nowMs();
    const waitedMs = () => clock.nowMs() - startedAtMs;
    let [answer] = (await sendOnNewConnection(port, request, clock)).answers;
    while (answer !== undefined && isShed(answer) && waitedMs() < responseTimeoutMs) {
      await clock.sleep(requestIntervalMs);
      [answer] = (await sendOnNewConnection(port, request, clock)).answers;
    }
    result.waitedMsMax = Math.max(result.waitedMsMax, waitedMs());
    if (answer?.status !== 200)
      result.unserved.push(
        answer === undefined ? 'no response' : `${answer.status} ${answer.body.slice(0, 100)}`,
      );
  }
  return result;
}
