import type { Clock } from '@platform/clock.ts';
import type { CaseGenerator, RoleTokens } from './cases.ts';
import { isShed } from './expectations.ts';
import type { RandomPicker } from './values.ts';
import { sendOnNewConnection } from './wire.ts';

/** What is sent at once, and what then comes piece by piece for ever; nothing more where that is left out. */
interface Trickle {
  kind: 'slow head' | 'slow body';
  label: string;
  first: string;
  rest?: string;
  /** Whole requests in `first`, which are answered. */
  served?: number;
}

interface Route {
  line: string;
  token: string | undefined;
}

const head = (label: string, first: string, rest?: string): Trickle => ({
  kind: 'slow head',
  label,
  first,
  ...(rest === undefined ? {} : { rest }),
});

const heads: readonly Trickle[] = [
  head('nothing at all', ''),
  head('half a first line', 'GET /v1/us'),
  head('a first line by the byte', 'GET /', 'a'),
  head('half a head', 'GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nx-half: '),
  head('a header by the byte', 'GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nx-endless: ', 'a'),
  head('headers one by one', 'GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n', 'x-one: more\r\n'),
];
const behindOne: Trickle = {
  ...head('half a request behind a whole one', 'GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\nGET /he'),
  served: 1,
};

const length = 'content-length: 4000\r\n';
const chunked = 'transfer-encoding: chunked\r\n';
/** `first` behind the head, whose framing is `framing`. */
const bodies: readonly (readonly [label: string, framing: string, first: string, rest?: string])[] = [
  ['a body that never comes', length, ''],
  ['a body that is waited for', `${length}expect: 100-continue\r\n`, ''],
  ['half a body', length, '{"pickup":'],
  ['a body by the byte', length, '{', ' '],
  ['no chunk', chunked, ''],
  ['half a chunk', chunked, '80\r\n{"pickup":'],
  ['chunks of a byte', chunked, '1\r\n{\r\n', '1\r\n \r\n'],
  ['a chunk size by the byte', chunked, '1;', 'a'],
  ['a trailer one by one', chunked, '1\r\n{\r\n0\r\n', 'x-one: more\r\n'],
];

/** Senders who hold what they were given for as long as they may; `afterCompleteRequest`, also behind a whole request. */
export function createSlowSenderCases(
  tokens: RoleTokens,
  keptAlive: boolean,
  dice: RandomPicker,
): CaseGenerator {
  const slowHeads = keptAlive ? [...heads, behindOne] : heads;
  const routes: readonly Route[] = [
    { line: 'POST /v1/quotes', token: tokens.rider },
    { line: 'PUT /v1/drivers/me/location', token: tokens.driver },
    { line: 'POST /v1/drivers/me/locations', token: tokens.driver },
    { line: 'POST /v1/auth/login', token: undefined },
    { line: 'POST /v1/nowhere', token: undefined },
  ];
  return {
    next() {
      const { kind, label, first, rest, served = 0 } = dice.chance(0.4) ? dice.pick(slowHeads) : body();
      return {
        kind,
        label,
        parts: trickle(first, rest),
        pauseMs: dice.integer(100, 1_000),
        isHead: false,
        needsOwnConnection: true,
        expects: { like: 'slow', served },
      };
    },
  };

  function body(): Trickle {
    const { line, token } = dice.pick(routes);
    const [label, framing, first, rest] = dice.pick(bodies);
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

function* trickle(first: string, rest: string | undefined): Iterable<Uint8Array> {
  yield Buffer.from(first);
  while (rest !== undefined) yield Buffer.from(rest);
}

export interface ControlClientResult {
  /** The longest that one of them waited to be served. */
  waitedMsMax: number;
  /** Requests that were not served in time, each with what was seen of it. */
  unserved: string[];
}

const askEveryMs = 250;
// A crowd may cost others a moment, and one that was shed comes again: no more than that.
const patienceMs = 5_000;

/** Somebody who does nothing wrong asks again and again, each time on a new connection, until `isOver`. */
export async function runControlClient(
  port: number,
  token: string,
  clock: Clock,
  isOver: () => boolean,
): Promise<ControlClientResult> {
  const text = `GET /v1/users/me HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${token}\r\n\r\n`;
  const ask = {
    parts: [Buffer.from(text)],
    ...{ pauseMs: 0, untilClosed: false, isHead: false, answersMin: 1, timeoutMs: patienceMs },
  };
  const seen: ControlClientResult = { waitedMsMax: 0, unserved: [] };
  for (; !isOver(); await clock.sleep(askEveryMs)) {
    const beganMs = clock.nowMs();
    const waitedMs = () => clock.nowMs() - beganMs;
    let [answer] = (await sendOnNewConnection(port, ask, clock)).answers;
    while (answer !== undefined && isShed(answer) && waitedMs() < patienceMs) {
      await clock.sleep(askEveryMs);
      [answer] = (await sendOnNewConnection(port, ask, clock)).answers;
    }
    seen.waitedMsMax = Math.max(seen.waitedMsMax, waitedMs());
    if (answer?.status !== 200)
      seen.unserved.push(
        answer === undefined ? 'no answer' : `${answer.status} ${answer.body.slice(0, 100)}`,
      );
  }
  return seen;
}
