import { connect, type Socket } from 'node:net';
import type { Clock } from '@platform/clock.ts';
import type { AttackConnection, AttackKind } from './kinds.ts';

/** The outcome of the connections of an attack. */
export interface AttackerReport {
  connections: number;
  /** First responses by status; `none` counts connections that ended or stayed open without one. */
  answers: Record<string, number>;
  /** The maximum number of open connections. */
  openMax: number;
}

const responseTimeoutMs = 2_000;
const repeatIntervalMs = 100;
// Connections start spread out, because a burst would attack the accept queue of the operating system instead.
const spreadMsMin = 300;
const spreadMsPerLane = 0.4;

/**
 * Runs one kind of attack against the port until `over` aborts, then closes all connections. `from` is the local address
 * of the connections; if undefined, the system chooses it.
 */
export async function runAttacker(
  { port, from, kind, clock }: { port: number; from: string | undefined; kind: AttackKind; clock: Clock },
  stopped: AbortSignal,
): Promise<AttackerReport> {
  const report: AttackerReport = { connections: 0, answers: {}, openMax: 0 };
  const spreadMs = Math.max(spreadMsMin, kind.concurrency * spreadMsPerLane);
  let open = 0;

  async function runLane(index: number): Promise<void> {
    await clock.sleep((index / kind.concurrency) * spreadMs, stopped);
    for (let sequence = index; !stopped.aborted; sequence += kind.concurrency) {
      report.connections++;
      report.openMax = Math.max(report.openMax, ++open);
      const status = await runConnection(kind.connectionAt(sequence));
      report.answers[status] = (report.answers[status] ?? 0) + 1;
      open--;
      await clock.sleep(kind.pauseMs, stopped);
    }
  }

  /** Resolves to the status of the first response, or `none`. */
  function runConnection(attack: AttackConnection): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = connect({ port, host: '127.0.0.1', ...(from && { localAddress: from }) });
    let status = 'none';
    const settle = () => {
      clearTimeout(timeoutTimer);
      clearInterval(repeatTimer);
      stopped.removeEventListener('abort', settle);
      socket.destroy();
      resolve(status);
    };
    stopped.addEventListener('abort', settle, { once: true });
    socket.on('error', settle);
    socket.on('close', settle);
    if (attack.neverReads) socket.pause();
    else
      socket.on('data', (bytes: Buffer) => {
        if (status === 'none')
          status = /^HTTP\/1.1 (\d{3})/.exec(bytes.toString('latin1', 0, 12))?.[1] ?? 'none';
        if (attack.ending === 'answer') settle();
      });
    const timeoutTimer = attack.ending === 'hold' ? undefined : setTimeout(settle, responseTimeoutMs);
    const repeatTimer =
      attack.repeatedBytes === undefined
        ? undefined
        : setInterval(() => writeIfDrained(socket, attack.repeatedBytes), repeatIntervalMs);
    const first = Buffer.from(attack.firstBytes, 'latin1');
    if (attack.ending === 'half_close') socket.end(first);
    else socket.write(first, () => attack.ending === 'reset' && socket.resetAndDestroy());
    return promise;
  }

  await Promise.all(Array.from({ length: kind.concurrency }, (_, index) => runLane(index)));
  return report;
}

function writeIfDrained(socket: Socket, text = ''): void {
  if (socket.writable && socket.writableLength === 0) socket.write(text, 'latin1');
}

/** A loopback address for attackers only; undefined if the system has no second one. */
export function findAttackerAddress(port: number): Promise<string | undefined> {
  const address = '127.0.0.2';
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: address });
    socket.on('connect', () => {
      socket.destroy();
      resolve(address);
    });
    socket.on('error', () => resolve(undefined));
  });
}
