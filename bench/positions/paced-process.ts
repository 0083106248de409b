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

interface Connection {
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

const idle: Socket<Connection>[] = [];
/** Due times of requests that wait for a free connection. */
const overdue: number[] = [];
const latenciesMs: number[] = [];
let next = 0;
let refused = 0;
/** Requests whose connection was closed before the response. */
let broken = 0;

for (let n = 0; n < connections; n++) idle.push(await connect());
await sendAtPace(Number(perSecond), Number(seconds));
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

function connect(): Promise<Socket<Connection>> {
  return Bun.connect<Connection>({
    hostname,
    port: Number(port),
    data: { dueMs: 0 },
    socket: {
      data: (socket, chunk) => onResponse(socket, chunk),
      close: (socket) => void reopen(socket),
    },
  });
}

/** Replaces a closed connection; its request counts as broken. */
async function reopen(closed: Socket<Connection>): Promise<void> {
  const at = idle.indexOf(closed);
  if (at >= 0) idle.splice(at, 1);
  else broken++;
  const socket = await connect();
  const dueMs = overdue.shift();
  if (dueMs === undefined) idle.push(socket);
  else write(socket, dueMs);
}

async function sendAtPace(rate: number, forSeconds: number): Promise<void> {
  const total = Math.floor(rate * forSeconds);
  const startedMs = performance.now();
  for (let sent = 0; sent < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - startedMs) / 1_000) * rate) + 1);
    for (; sent < due; sent++) send(startedMs + (sent / rate) * 1_000);
    await Bun.sleep(1);
  }
  const giveUpMs = performance.now() + drainMsMax;
  while (latenciesMs.length + broken < total && performance.now() < giveUpMs) await Bun.sleep(5);
}

function send(dueMs: number): void {
  const socket = idle.pop();
  if (socket === undefined) overdue.push(dueMs);
  else write(socket, dueMs);
}

function write(socket: Socket<Connection>, dueMs: number): void {
  socket.data.dueMs = dueMs;
  socket.write(requests[next] ?? '');
  next = (next + 1) % requests.length;
}

/** A response is far smaller than a TCP segment, so it arrives in one chunk. */
function onResponse(socket: Socket<Connection>, chunk: Buffer): void {
  latenciesMs.push(performance.now() - socket.data.dueMs);
  if (!chunk.subarray(0, 12).equals(stored)) refused++;
  const dueMs = overdue.shift();
  if (dueMs === undefined) idle.push(socket);
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
