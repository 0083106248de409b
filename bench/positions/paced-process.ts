/**
 * Sends requests at a steady pace in an open loop, whether earlier ones were answered or not, as a process of its
 * own. It writes prepared requests to sockets, because `fetch` would use half a core at this pace. A latency
 * counts from the time when the request was due. Prints one line of JSON.
 *
 * Arguments: URL, file of tokens, requests per second, seconds.
 */
import { readFileSync } from 'node:fs';
import type { Socket } from 'bun';
import { percentilesOf } from '../harness/statistics.ts';

interface Line {
  /** When the request in flight was due; 0 when there is none. */
  dueMs: number;
}

const connections = 256;
/** How long the responses of the last requests may take. */
const drainMsMax = 30_000;
const stored = Buffer.from('HTTP/1.1 204');
const [url = '', tokensFile = '', perSecond = '', seconds = ''] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const tokens = readFileSync(tokensFile, 'utf8').trim().split('\n');
const requests = tokens.map((token, n) => Buffer.from(requestOf(token, n)));

const free: Socket<Line>[] = [];
/** Due times of requests that wait for a free connection. */
const late: number[] = [];
const latenciesMs: number[] = [];
let next = 0;
let refused = 0;
/** Requests whose connection was closed before the response. */
let broken = 0;

for (let n = 0; n < connections; n++) free.push(await connect());
await paced(Number(perSecond), Number(seconds));
console.log(
  JSON.stringify({
    ...percentilesOf(latenciesMs),
    answered: latenciesMs.length,
    refused,
    broken,
    connections,
  }),
);
process.exit(0);

function connect(): Promise<Socket<Line>> {
  return Bun.connect<Line>({
    hostname,
    port: Number(port),
    data: { dueMs: 0 },
    socket: {
      data: (socket, chunk) => answered(socket, chunk),
      close: (socket) => void reopen(socket),
    },
  });
}

/** Replaces a closed connection; its request counts as broken. */
async function reopen(closed: Socket<Line>): Promise<void> {
  const at = free.indexOf(closed);
  if (at >= 0) free.splice(at, 1);
  else broken++;
  const socket = await connect();
  const dueMs = late.shift();
  if (dueMs === undefined) free.push(socket);
  else write(socket, dueMs);
}

async function paced(rate: number, forSeconds: number): Promise<void> {
  const total = Math.floor(rate * forSeconds);
  const startedMs = performance.now();
  for (let begun = 0; begun < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - startedMs) / 1_000) * rate) + 1);
    for (; begun < due; begun++) send(startedMs + (begun / rate) * 1_000);
    await Bun.sleep(1);
  }
  const giveUpMs = performance.now() + drainMsMax;
  while (latenciesMs.length + broken < total && performance.now() < giveUpMs) await Bun.sleep(5);
}

function send(dueMs: number): void {
  const socket = free.pop();
  if (socket === undefined) late.push(dueMs);
  else write(socket, dueMs);
}

function write(socket: Socket<Line>, dueMs: number): void {
  socket.data.dueMs = dueMs;
  socket.write(requests[next] ?? '');
  next = (next + 1) % requests.length;
}

/** A response is far smaller than a TCP segment, so it arrives in one chunk. */
function answered(socket: Socket<Line>, chunk: Buffer): void {
  latenciesMs.push(performance.now() - socket.data.dueMs);
  if (!chunk.subarray(0, 12).equals(stored)) refused++;
  const dueMs = late.shift();
  if (dueMs === undefined) free.push(socket);
  else write(socket, dueMs);
}

function requestOf(token: string, driver: number): string {
  // The same place as in location.lua: a distant one would be rejected as too fast.
  const n = driver + 1;
  const [lat, lng] = [10.7 + (n % 100) / 1_000, 106.6 + Math.floor(n / 100) / 1_000];
  const body = `{"lat":${lat},"lng":${lng},"accuracyMetres":8.5,"headingDegrees":120,"speedMetresPerSecond":7.25}`;
  const head = [
    'PUT /v1/drivers/me/location HTTP/1.1',
    'host: localhost',
    `authorization: Bearer ${token}`,
    'content-type: application/json',
    `content-length: ${body.length}`,
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
