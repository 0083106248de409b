/**
 * Open loop: requests at a steady pace, whether earlier ones were answered or not, as a process of its
 * own. Sockets with requests made beforehand, since `fetch` would take half a core at this pace. A latency
 * counts from the moment the request was due. Prints one line of JSON.
 *
 * Arguments: URL, file of tokens, requests a second, seconds.
 */
import { readFileSync } from 'node:fs';
import type { Socket } from 'bun';
import { percentilesOf } from '../harness/statistics.ts';

interface Line {
  /** When the request under way was due; 0 when there is none. */
  dueMs: number;
}

const connections = 256;
/** How long the answers of the last requests may take. */
const drainMsMax = 30_000;
const stored = Buffer.from('HTTP/1.1 204');
const [url = '', tokensFile = '', perSecond = '', seconds = ''] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const tokens = readFileSync(tokensFile, 'utf8').trim().split('\n');
const requests = tokens.map((token, n) => Buffer.from(requestOf(token, n)));

const free: Socket<Line>[] = [];
/** Due, but every connection has one under way. */
const late: number[] = [];
const latenciesMs: number[] = [];
let next = 0;
let refused = 0;
/** Requests whose connection was closed before the answer came. */
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

/** A closed connection costs its request, and another one takes its place. */
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

/** Answers are far smaller than a segment: one comes as a whole. */
function answered(socket: Socket<Line>, chunk: Buffer): void {
  latenciesMs.push(performance.now() - socket.data.dueMs);
  if (!chunk.subarray(0, 12).equals(stored)) refused++;
  const dueMs = late.shift();
  if (dueMs === undefined) free.push(socket);
  else write(socket, dueMs);
}

function requestOf(token: string, driver: number): string {
  // Where location.lua has the driver: farther away he would be refused as too fast.
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
