import { cpuMicrosOf } from '../harness/cpu.ts';
import type { Measurement } from '../harness/rounds.ts';
import type { ClientProcess } from '../realtime/service.ts';
import { startClients } from '../realtime/service.ts';

export interface FanoutSideOptions {
  /** The address that the sockets connect to. */
  target: { hostname: string; port: number };
  issuePaths: (count: number) => Promise<string[]>;
  /** The first message of each client. */
  firstMessage?: string;
  /** Frames that each client receives before the first event. */
  greetingFrames: number;
  /** Sends one event to all sockets. */
  publish: () => void;
  /** Process id of the server that writes to the sockets. */
  pid: number;
  /** Process ids of the servers that it depends on. */
  serverPids: () => readonly number[];
}

export interface FanoutSide {
  run(seconds: number): Promise<Measurement>;
  stop(): Promise<void>;
}

export const socketsTotal = 5_000;
const clientProcesses = 2;
const socketsEach = socketsTotal / clientProcesses;
// Events in flight: enough that the server never waits for the next one, and few enough that no socket queue grows.
const inFlightMax = 32;

/** Publishes events to 5,000 sockets of one server, as fast as the clients receive them. */
export async function createFanoutSide(options: FanoutSideOptions): Promise<FanoutSide> {
  const { target, issuePaths, publish, pid, serverPids, firstMessage, greetingFrames } = options;
  const received = Array.from({ length: clientProcesses }, () => 0);
  let wake = () => {};
  const clients = await Promise.all(received.map((_, index) => startCounting(index)));
  await Promise.all(
    clients.map(async (client) => {
      const paths = await issuePaths(socketsEach);
      await client.request({
        kind: 'open',
        ...target,
        paths,
        ...(firstMessage === undefined ? {} : { firstMessage }),
      });
    }),
  );
  while (countDelivered() < greetingFrames) await waitForProgress();
  for (const client of clients) await client.request({ kind: 'count' });
  received.fill(0);
  let published = 0;

  return {
    async run(seconds) {
      const cpuBefore = cpuMicrosOf([pid]);
      const serversBefore = cpuMicrosOf(serverPids());
      const publishedBefore = published;
      const startedMs = performance.now();
      while (performance.now() - startedMs < seconds * 1_000) {
        if (published - countDelivered() < inFlightMax) {
          published++;
          publish();
        } else await waitForProgress();
      }
      while (countDelivered() < published) await waitForProgress();
      return {
        operations: (published - publishedBefore) * socketsTotal,
        seconds: (performance.now() - startedMs) / 1_000,
        cpuMicros: cpuMicrosOf([pid]) - cpuBefore,
        serverCpuMicros: cpuMicrosOf(serverPids()) - serversBefore,
      };
    },
    async stop() {
      await Promise.all(clients.map((client) => client.stop()));
    },
  };

  function startCounting(index: number): Promise<ClientProcess> {
    return startClients((texts) => {
      received[index] = texts;
      wake();
    });
  }

  /** Events that every socket has received: each socket gets every event in order, so the sums are enough. */
  function countDelivered(): number {
    return Math.floor(Math.min(...received) / socketsEach);
  }

  function waitForProgress(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    wake = resolve;
    return promise;
  }
}
