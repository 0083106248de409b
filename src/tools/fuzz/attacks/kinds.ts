import type { RoleTokens } from '../case.ts';

/** What one connection of an attack does. */
export interface AttackConnection {
  /** Written immediately. */
  firstBytes: string;
  /** Written repeatedly afterwards, with a pause. */
  repeatedBytes?: string;
  /**
   * `answer`: closes after the first response. `half_close`: ends its side after the bytes and keeps reading.
   * `reset`: resets the connection once the bytes are sent. `hold`: keeps the connection open as long as possible.
   */
  ending: 'answer' | 'half_close' | 'reset' | 'hold';
  /** Never reads a response. */
  neverReads?: boolean;
}

export interface AttackKind {
  name: string;
  /** Concurrent connections. */
  concurrency: number;
  /** The pause between two connections of one lane. */
  pauseMs: number;
  /** True if it uses up the limits of its address, so it can not run from an address that other clients share. */
  exhaustsAddress?: boolean;
  connectionAt(sequence: number): AttackConnection;
}

const head = (line: string, ...lines: string[]): string =>
  [`${line} HTTP/1.1`, 'host: 127.0.0.1', ...lines, '', ''].join('\r\n');
const json = 'content-type: application/json';
const bearer = (token: string) => `authorization: Bearer ${token}`;
const lengthOf = (body: string) => `content-length: ${body.length}`;
const chunked = 'transfer-encoding: chunked';
const keySet = '/.well-known/jwks.json';
const signIn = JSON.stringify({ email: 'attacker@example.com', password: 'not the password' });

/** Cycles through the connections. */
const cycle =
  (...connections: readonly AttackConnection[]) =>
  (sequence: number): AttackConnection => {
    const connection = connections[sequence % connections.length];
    if (connection === undefined) throw new Error('an attack needs at least one connection');
    return connection;
  };
const untilAnswered = (...requests: readonly string[]) =>
  cycle(...requests.map((firstBytes): AttackConnection => ({ firstBytes, ending: 'answer' })));
const untilClosed = (...requests: readonly (readonly [first: string, rest?: string])[]) =>
  cycle(
    ...requests.map(
      ([firstBytes, repeatedBytes]): AttackConnection => ({
        firstBytes,
        ending: 'hold',
        ...(repeatedBytes && { repeatedBytes }),
      }),
    ),
  );

/** All kinds of attack, each from one address. `idleConnections` exceeds every connection limit of the edge. */
export function createAttackKinds(
  { rider, driver }: Pick<RoleTokens, 'rider' | 'driver'>,
  idleConnections: number,
  nowMs: () => number,
): readonly AttackKind[] {
  const quote = head('POST /v1/quotes', bearer(rider), json, chunked);
  const position = `{"lat":10.77,"lng":106.7}`;
  const tinyDeadline = () => `x-deadline-ms: ${nowMs() + 30}`;
  return [
    {
      name: 'unknown methods',
      ...{ concurrency: 20, pauseMs: 40 },
      connectionAt: untilAnswered(
        head(`FOO ${keySet}`),
        head('BREW /v1/auth/login', json, 'content-length: 0'),
        head('TRACE /v1/users/me', bearer(rider)),
        `${head(`PROPFIND ${keySet}`, 'content-length: 2')}{}`,
        head('CONNECT 127.0.0.1:22'),
      ),
    },
    {
      name: 'header lines',
      ...{ concurrency: 20, pauseMs: 40 },
      connectionAt: untilAnswered(
        head(`GET ${keySet}`, ...Array.from({ length: 2_000 }, () => 'b:')),
        head(`GET ${keySet}`, ...Array.from({ length: 95 }, (_, n) => `x-${n}: ${'v'.repeat(100)}`)),
      ),
    },
    {
      name: 'header names in Connection',
      ...{ concurrency: 20, pauseMs: 40 },
      connectionAt: untilAnswered(
        head(
          `GET ${keySet}`,
          `connection: close,${'a,'.repeat(4_000)}a`,
          ...Array.from({ length: 2_000 }, () => 'b:'),
        ),
        head(`GET ${keySet}`, `connection: close,${'a,'.repeat(200)}a`),
        head('GET /v1/users/me', `connection: authorization`, bearer(rider)),
      ),
    },
    {
      name: 'tiny deadlines',
      ...{ concurrency: 4, pauseMs: 250 },
      connectionAt: (sequence) =>
        sequence % 4 === 0
          ? {
              firstBytes: head('POST /v1/auth/login', tinyDeadline(), json, lengthOf(signIn)) + signIn,
              ending: 'answer',
            }
          : { firstBytes: head(`GET ${keySet}`, tinyDeadline()), ending: 'answer' },
    },
    {
      name: 'chunk overhead',
      ...{ concurrency: 20, pauseMs: 200 },
      connectionAt: untilClosed(
        [quote + '1\r\n{\r\n'.repeat(8_000)],
        [quote, `1;${'e'.repeat(200)}\r\n \r\n`.repeat(100)],
        [quote, `1;${'e'.repeat(10_000)}`],
        [`${quote}1\r\n{\r\n0\r\n`, 'x-trailer: more\r\n'.repeat(50)],
      ),
    },
    {
      name: 'handshake flood',
      ...{ concurrency: 60, pauseMs: 80, exhaustsAddress: true },
      connectionAt: (sequence) => ({
        firstBytes: head(
          `GET /v1/realtime?ticket=bad-${sequence}`,
          'connection: Upgrade',
          'upgrade: websocket',
          'sec-websocket-version: 13',
          'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
        ),
        ending: 'answer',
      }),
    },
    {
      name: 'slow readers',
      ...{ concurrency: 60, pauseMs: 100 },
      connectionAt: cycle(
        { firstBytes: head('GET /openapi/json').repeat(20), ending: 'hold', neverReads: true },
        { firstBytes: head(`GET ${keySet}`).repeat(50), ending: 'hold', neverReads: true },
      ),
    },
    {
      name: 'half-closed connections',
      ...{ concurrency: 10, pauseMs: 50 },
      connectionAt: cycle(
        {
          firstBytes:
            head('PUT /v1/drivers/me/location', bearer(driver), json, lengthOf(position)) + position,
          ending: 'half_close',
        },
        {
          firstBytes: `${head('POST /v1/quotes', bearer(rider), json, 'content-length: 400')}{`,
          ending: 'half_close',
        },
        { firstBytes: `GET ${keySet} HT`, ending: 'half_close' },
        { firstBytes: `${quote}80\r\n{`, ending: 'half_close' },
      ),
    },
    {
      name: 'slow bodies',
      ...{ concurrency: 300, pauseMs: 100 },
      connectionAt: untilClosed(
        [`${head('POST /v1/quotes', bearer(rider), json, 'content-length: 4000')}{`, ' '],
        [`${head('PUT /v1/drivers/me/location', bearer(driver), json, 'content-length: 4000')}{`, ' '],
        [head('POST /v1/auth/login', json, 'content-length: 4000')],
        [head('POST /v1/auth/login', json, 'content-length: 4000', 'expect: 100-continue')],
        [`${quote}1\r\n{\r\n`, '1\r\n \r\n'],
      ),
    },
    {
      name: 'idle connections',
      ...{ concurrency: idleConnections, pauseMs: 2_000, exhaustsAddress: true },
      connectionAt: untilClosed([''], ['GET /'], [head(`GET ${keySet}`)]),
    },
    {
      name: 'early disconnects',
      ...{ concurrency: 10, pauseMs: 50 },
      connectionAt: cycle(
        { firstBytes: head(`GET ${keySet}`), ending: 'reset' },
        { firstBytes: head('GET /v1/trips', bearer(rider)), ending: 'reset' },
        {
          firstBytes: `${head('POST /v1/quotes', bearer(rider), json, 'content-length: 400')}{`,
          ending: 'reset',
        },
        { firstBytes: head('GET /openapi/json').repeat(5), ending: 'reset' },
      ),
    },
    {
      name: 'oversized parts',
      ...{ concurrency: 10, pauseMs: 150 },
      connectionAt: untilAnswered(
        head(`GET /${'a'.repeat(40_000)}`),
        head(`GET ${keySet}`, `x-long: ${'v'.repeat(60_000)}`),
        head(`GET /v1/trips?cursor=${'c'.repeat(12_000)}`, bearer(rider)),
        head(`GET /v1/${'x/'.repeat(4_000)}`),
        head('POST /v1/quotes', bearer(rider), json, 'content-length: 10000000000') + 'x'.repeat(100_000),
        head('POST /v1/quotes', bearer(rider), json, 'content-length: 60000') + '['.repeat(60_000),
        `${quote}ffffff\r\n${'x'.repeat(200_000)}`,
        head('GET /v1/users/me', bearer('e'.repeat(9_000))),
      ),
    },
  ];
}
