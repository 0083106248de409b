import { type Priority, priorities } from '../../src/platform/http/edge-policy.ts';
import { percentile } from '../harness/statistics.ts';
import { connectClient, type OverloadClient } from './client.ts';

/** Requests of one priority, sent in turns, and their share of all requests. */
export interface RequestKind {
  priority: Priority;
  share: number;
  requests: string[];
}

export interface LoadPhase {
  /** Requests due per second in an open loop, whether earlier ones have ended or not; 0 means a closed loop. */
  perSecond: number;
  seconds: number;
}

export interface LoadOptions {
  port: number;
  connections: number;
  kinds: RequestKind[];
  phase: LoadPhase;
  deadlineMs: number;
}

export interface RequestCounts {
  sent: number;
  served: number;
  /** Served within the deadline, counted from the time when the request was due. */
  inTime: number;
  shed: number;
  /** Neither served nor shed: rejected for another reason, failed, or never answered. */
  other: number;
  p50Ms: number;
  p95Ms: number;
  p99Ms: number;
}

export interface LoadResult {
  seconds: number;
  all: RequestCounts;
  byPriority: Record<Priority, RequestCounts>;
  /** Responses that were neither success nor 503, by status; 0 means no response. */
  otherStatuses: Record<number, number>;
  /** Seconds from the start until the last request that was shed or took more than `deadlineMs / 4`; 0 when none. */
  lastTroubleSeconds: number;
}

interface Tally {
  sent: number;
  inTime: number;
  shed: number;
  other: number;
  latenciesMs: number[];
}

const drainMs = 3_000;
const connectGroupMax = 100;

/** Sends load to one server from this process. Latencies count from the time when a request was due. */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const { port, connections, kinds, phase, deadlineMs } = options;
  const tallies = new Map<Priority, Tally>(
    priorities.map((priority) => [priority, { sent: 0, inTime: 0, shed: 0, other: 0, latenciesMs: [] }]),
  );
  const clients = await connectAll(port, connections);
  const nextRequest = createRequestSequence(kinds);
  const idle = [...clients];
  const due: number[] = [];
  let dueFrom = 0;
  const otherStatuses: Record<number, number> = {};
  let lastTroubleMs = 0;
  const startedMs = performance.now();
  const endMs = startedMs + phase.seconds * 1000;

  const sendNext = (dueMs: number) => {
    const client = idle.pop();
    if (client === undefined) return false;
    const { priority, request } = nextRequest();
    const tally = tallies.get(priority);
    if (tally === undefined) return false;
    tally.sent++;
    client.send(request, (status) => {
      recordResponse(tally, status, performance.now() - dueMs);
      idle.push(client);
      sendDue();
    });
    return true;
  };
  /** Sends the requests that have waited longest for a connection, or in a closed loop the next one. */
  const sendDue = () => {
    if (phase.perSecond === 0) {
      if (performance.now() < endMs) sendNext(performance.now());
      return;
    }
    while (dueFrom < due.length && sendNext(due[dueFrom] ?? 0)) dueFrom++;
  };
  function recordResponse(tally: Tally, status: number, latencyMs: number): void {
    const isServed = status >= 200 && status < 300;
    if (isServed) tally.latenciesMs.push(latencyMs);
    if (isServed && latencyMs <= deadlineMs) tally.inTime++;
    if (status === 503) tally.shed++;
    else if (!isServed) {
      tally.other++;
      otherStatuses[status] = (otherStatuses[status] ?? 0) + 1;
    }
    if (!isServed || latencyMs > deadlineMs / 4) lastTroubleMs = performance.now() - startedMs;
  }

  if (phase.perSecond === 0) while (sendNext(performance.now()));
  for (let scheduled = 0; performance.now() < endMs; ) {
    const dueCount = Math.floor(((performance.now() - startedMs) / 1000) * phase.perSecond);
    for (; scheduled < dueCount; scheduled++) due.push(startedMs + (scheduled / phase.perSecond) * 1000);
    sendDue();
    await Bun.sleep(1);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  for (const giveUpMs = performance.now() + drainMs; performance.now() < giveUpMs; await Bun.sleep(5))
    if (idle.length === clients.length && dueFrom === due.length) break;
  // Requests without a response or a connection count as not served.
  const unsent = due.length - dueFrom;
  for (const client of clients) client.close();
  const counted = [...tallies].map(([priority, tally]) => [priority, count([tally], 0)] as const);
  return {
    seconds,
    all: count([...tallies.values()], unsent),
    byPriority: Object.fromEntries(counted) as Record<Priority, RequestCounts>,
    otherStatuses,
    lastTroubleSeconds: lastTroubleMs / 1000,
  };
}

/** Connects in groups smaller than the listener's queue: a dropped connection shows only when it is written to. */
async function connectAll(port: number, count: number): Promise<OverloadClient[]> {
  const clients: OverloadClient[] = [];
  while (clients.length < count) {
    const groupSize = Math.min(connectGroupMax, count - clients.length);
    clients.push(
      ...(await Promise.all(Array.from({ length: groupSize }, () => connectClient('127.0.0.1', port)))),
    );
  }
  return clients;
}

function count(tallies: readonly Tally[], unsent: number): RequestCounts {
  const latenciesMs = tallies.flatMap((tally) => tally.latenciesMs);
  const sum = (of: (tally: Tally) => number) => tallies.reduce((total, tally) => total + of(tally), 0);
  const sent = sum((tally) => tally.sent) + unsent;
  const [served, shed] = [latenciesMs.length, sum((tally) => tally.shed)];
  const at = (percent: number) => Math.round(percentile(latenciesMs, percent) * 10) / 10;
  return {
    sent,
    served,
    inTime: sum((tally) => tally.inTime),
    shed,
    other: sent - served - shed,
    p50Ms: at(50),
    p95Ms: at(95),
    p99Ms: at(99),
  };
}

/** Chooses the kinds by their shares, spread evenly, and the requests of each kind in turns. */
function createRequestSequence(kinds: readonly RequestKind[]): () => { priority: Priority; request: Buffer } {
  const made = kinds.map(({ priority, share, requests }) => ({
    priority,
    share,
    requests: requests.map((request) => Buffer.from(request)),
    credit: 0,
    next: 0,
  }));
  return () => {
    for (const kind of made) kind.credit += kind.share;
    const chosen = made.reduce((best, kind) => (kind.credit > best.credit ? kind : best));
    chosen.credit -= 1;
    const request = chosen.requests[chosen.next++ % chosen.requests.length];
    if (request === undefined) throw new Error('a request kind has no requests');
    return { priority: chosen.priority, request };
  };
}

if (import.meta.main) console.log(JSON.stringify(await runLoad(await Bun.stdin.json())));
