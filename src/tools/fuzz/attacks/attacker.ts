import { connect, type Socket } from 'node:net';
import type { Clock } from '@platform/clock.ts';
import type { AttackConnection, AttackKind } from './kinds.ts';

/** What became of an attacker's connections. */
export interface AttackerReport {
  connections: number;
  /** First answers by their status; `none` counts connections that ended, or were kept, without one. */
  answers: Record<string, number>;
  /** The most that were open at the same time. */
  openMax: number;
}

const patienceMs = 2_000;
const trickleMs = 100;
// Not all in one moment, or the system's queue of new connections is what is attacked.
const spreadMsMin = 300;
const spreadMsPerLane = 0.4;

/**
 * Attacks the port with one kind until `over` aborts, then lets go of everything. `from`: the address that the
 * connections come from; undefined: the system's choice.
 */
export async function runAttacker(
  { port, from, kind, clock }: { port: number; from: string | undefined; kind: AttackKind; clock: Clock },
  over: AbortSignal,
): Promise<AttackerReport> {
  const report: AttackerReport = { connections: 0, answers: {}, openMax: 0 };
  const spreadMs = Math.max(spreadMsMin, kind.concurrency * spreadMsPerLane);
  let open = 0;

  async function lane(index: number): Promise<void> {
    await clock.sleep((index / kind.concurrency) * spreadMs, over);
    for (let nth = index; !over.aborted; nth += kind.concurrency) {
      report.connections++;
      report.openMax = Math.max(report.openMax, ++open);
      const status = await strikeOnce(kind.connectionAt(nth));
      report.answers[status] = (report.answers[status] ?? 0) + 1;
      open--;
      await clock.sleep(kind.pauseMs, over);
    }
  }

  /** The status of the first answer, or `none`. */
  function strikeOnce(strike: AttackConnection): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = connect({ port, host: '127.0.0.1', ...(from && { localAddress: from }) });
    let status = 'none';
    const settle = () => {
      clearTimeout(late);
      clearInterval(trickle);
      over.removeEventListener('abort', settle);
      socket.destroy();
      resolve(status);
    };
    over.addEventListener('abort', settle, { once: true });
    socket.on('error', settle);
    socket.on('close', settle);
    if (strike.neverReads) socket.pause();
    else
      socket.on('data', (bytes: Buffer) => {
        if (status === 'none')
          status = /^HTTP\/1.1 (\d{3})/.exec(bytes.toString('latin1', 0, 12))?.[1] ?? 'none';
        if (strike.ending === 'answer') settle();
      });
    const late = strike.ending === 'hold' ? undefined : setTimeout(settle, patienceMs);
    const trickle =
      strike.repeatedBytes === undefined
        ? undefined
        : setInterval(() => add(socket, strike.repeatedBytes), trickleMs);
    const first = Buffer.from(strike.firstBytes, 'latin1');
    if (strike.ending === 'half_close') socket.end(first);
    else socket.write(first, () => strike.ending === 'reset' && socket.resetAndDestroy());
    return promise;
  }

  await Promise.all(Array.from({ length: kind.concurrency }, (_, index) => lane(index)));
  return report;
}

function add(socket: Socket, text = ''): void {
  if (socket.writable && socket.writableLength === 0) socket.write(text, 'latin1');
}

/** An address of this machine beside the one that everybody uses; undefined where the system has none. */
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
