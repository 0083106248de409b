import { systemClock } from '../../src/platform/clock.ts';
import { createLoop } from '../../src/platform/lifecycle.ts';
import { createLog } from '../../src/platform/log.ts';
import { answerRequests, sendReady, sendReport } from './child.ts';
import { openRawClients, type RawClients, type RawClientsOptions } from './socket.ts';

/** A process of WebSocket clients: opens sockets, answers pings and reports how many text frames arrived. */
export type ClientsRequest =
  | ({ kind: 'open'; firstMessage?: string } & RawClientsOptions)
  | { kind: 'count' }
  /** Asks how many sockets were closed. */
  | { kind: 'closed' }
  | { kind: 'close' };
export type ClientsResponse = number;
/** Text frames since the last `count` over all sockets; sent when the number has changed. */
export type ClientsReport = number;

const reportEveryMs = 2;

if (import.meta.main) {
  const opened: RawClients[] = [];
  let texts = 0;
  let reported = 0;
  let closed = 0;

  answerRequests<ClientsRequest, ClientsResponse>(async (request) => {
    switch (request.kind) {
      case 'open': {
        const clients = await openRawClients(request, { onText: () => texts++, onClose: () => closed++ });
        opened.push(clients);
        const { firstMessage } = request;
        if (firstMessage !== undefined)
          for (const client of request.paths.keys()) clients.send(client, firstMessage);
        return request.paths.length;
      }
      case 'count': {
        const before = texts;
        texts = 0;
        reported = 0;
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
      if (texts !== reported) sendReport<ClientsReport>(texts);
      reported = texts;
      return false;
    },
  });
  report.start().then(() => sendReady<ClientsResponse>(0));
}
