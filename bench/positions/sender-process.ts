/**
 * The load of location-ws as a process of its own: live connections of some drivers to one server process, with
 * frames sent as fast as they are acknowledged. Started by `senders.ts`; the two communicate over IPC.
 */
import { Value } from '@sinclair/typebox/value';
import { Ticket } from '../../src/contracts/realtime.ts';
import { systemClock } from '../../src/platform/clock.ts';
import type { SenderCommand, SenderReply } from './senders.ts';

const openAtOnce = 50;
const pollEveryMs = 10;
/** Points that may be in flight: enough for some hundredths of a second of the baseline. */
const inFlightMax = 20_000;
/** Frames written per event-loop turn, so that responses and pings are read in between. */
const framesPerTurn = 200;

let url = '';
let sockets: WebSocket[] = [];
let turn = 0;
/** Error frames and closed connections by code since the start of the run. */
let errors: Record<string, number> = {};
const countError = (code: string) => {
  errors[code] = (errors[code] ?? 0) + 1;
};

process.on('message', (order: SenderCommand) => {
  const answering = order.kind === 'connect' ? connect(order) : run(order);
  answering.then(
    (answer) => process.send?.(answer),
    (error: unknown) => process.send?.({ kind: 'failed', message: String(error) } satisfies SenderReply),
  );
});

async function connect(order: Extract<SenderCommand, { kind: 'connect' }>): Promise<SenderReply> {
  url = order.url;
  for (let from = 0; from < order.tokens.length; from += openAtOnce) {
    const part = order.tokens.slice(from, from + openAtOnce);
    sockets = sockets.concat(await Promise.all(part.map((token) => open(token, order.ticketed))));
  }
  return { kind: 'connected' };
}

async function open(token: string, ticketed: boolean): Promise<WebSocket> {
  const query = ticketed ? `?ticket=${encodeURIComponent(await ticketOf(token))}` : '';
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/realtime${query}`);
  const opened = Promise.withResolvers<WebSocket>();
  socket.onopen = () => opened.resolve(socket);
  socket.onclose = ({ code }) => {
    opened.reject(new Error(`closed with ${code}`));
    countError(`closed with ${code}`);
  };
  socket.onmessage = ({ data }) => {
    const code = /^\{"type":"error","code":"([^"]+)"/.exec(String(data))?.[1];
    if (code !== undefined) countError(code);
  };
  return opened.promise;
}

async function ticketOf(token: string): Promise<string> {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${url}/v1/realtime/ticket`, { method: 'POST', headers });
  if (!response.ok) throw new Error(`no ticket: ${response.status} ${await response.text()}`);
  return Value.Parse(Ticket, await response.json()).ticket;
}

/** Sends for `seconds` with a bounded number of points in flight, and counts the acknowledged points. */
async function run(order: Extract<SenderCommand, { kind: 'run' }>): Promise<SenderReply> {
  const before = await acknowledged();
  errors = {};
  const startedMs = performance.now();
  const endMs = startedMs + order.seconds * 1_000;
  let sent = 0;
  let done = 0;
  let polledAtMs = startedMs;
  let polling: Promise<void> | undefined;
  // Runs concurrently: frames do not wait for it.
  const poll = async () => {
    done = (await acknowledged()) - before;
    polledAtMs = performance.now();
    polling = undefined;
  };
  while (performance.now() < endMs) {
    for (let n = 0; n < framesPerTurn && sent - done < inFlightMax; n++) {
      sockets[turn]?.send(frameOf(turn, order.points));
      turn = (turn + 1) % sockets.length;
      sent += order.points;
    }
    if (sent - done >= inFlightMax) await Bun.sleep(1);
    else await new Promise<void>((resolve) => setImmediate(resolve));
    if (performance.now() - polledAtMs >= pollEveryMs) polling ??= poll();
  }
  await polling;
  const seconds = (performance.now() - startedMs) / 1_000;
  done = (await acknowledged()) - before;
  // No point of this run may count in the next one.
  for (let left = 50; left > 0 && (await acknowledged()) - before < sent; left--) await Bun.sleep(20);
  return { kind: 'ran', sent, acknowledged: done, seconds, errors };
}

/** Points stored in Redis, as counted by the server process. */
async function acknowledged(): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^positions_accepted_total (\d+)$/m.exec(text)?.[1] ?? 0);
}

let timesAtMs = 0;
let times: readonly string[] = [];

/** A frame of recent points one millisecond apart, so that no point is older than those before. */
function frameOf(driver: number, points: number): string {
  const nowMs = systemClock.nowMs();
  if (nowMs !== timesAtMs || times.length !== points) {
    timesAtMs = nowMs;
    times = Array.from({ length: points }, (_, n) => new Date(nowMs - points + 1 + n).toISOString());
  }
  const coordinates = `"lat":${10.7 + (driver % 100) / 1_000},"lng":${106.6 + Math.floor(driver / 100) / 1_000}`;
  const details = '"accuracyMetres":8.5,"headingDegrees":120,"speedMetresPerSecond":7.25';
  if (points === 1) return `{"type":"location",${coordinates},"recordedAt":"${times[0]}",${details}}`;
  const list = times.map((time) => `{${coordinates},"recordedAt":"${time}",${details}}`);
  return `{"type":"locations","points":[${list.join(',')}]}`;
}
