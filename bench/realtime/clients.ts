import { systemClock } from '../../src/platform/clock.ts';
import { createLoop } from '../../src/platform/lifecycle.ts';
import { createLog } from '../../src/platform/log.ts';
import { answering, tellParent, tellReady } from './child.ts';
import { openRawClients, type RawClients, type RawTarget } from './socket.ts';

/** A process of clients: opens sockets, answers pings, and says how many text frames came. */
export type ClientsAsk =
  | ({ kind: 'open'; say?: string } & RawTarget)
  | { kind: 'count' }
  /** How many sockets ended. */
  | { kind: 'closed' }
  | { kind: 'close' };
export type ClientsAnswer = number;
/** Text frames since `count`, over all sockets, told when it has changed. */
export type ClientsReport = number;

const reportEveryMs = 2;

if (import.meta.main) {
  const opened: RawClients[] = [];
  let texts = 0;
  let told = 0;
  let closed = 0;

  answering<ClientsAsk, ClientsAnswer>(async (ask) => {
    switch (ask.kind) {
      case 'open': {
        const clients = await openRawClients(ask, { text: () => texts++, closed: () => closed++ });
        opened.push(clients);
        const { say } = ask;
        if (say !== undefined) for (const client of ask.paths.keys()) clients.send(client, say);
        return ask.paths.length;
      }
      case 'count': {
        const before = texts;
        texts = 0;
        told = 0;
        return before;
      }
      case 'closed':
        return closed;
      case 'close':
        for (const clients of opened.splice(0)) clients.close();
        return closed;
    }
  });
  const report = createLoop({
    name: 'report',
    clock: systemClock,
    log: createLog('error'),
    idleMs: reportEveryMs,
    async step() {
      if (texts !== told) tellParent<ClientsReport>(texts);
      told = texts;
      return false;
    },
  });
  report.start().then(() => tellReady<ClientsAnswer>(0));
}
