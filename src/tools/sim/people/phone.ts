import { ServerFrame } from '@contracts/realtime.ts';
import type { Socket } from '@platform/http/server.ts';
import { Value } from '@sinclair/typebox/value';
import type { SimPerson } from './person.ts';

export interface ReceivedEvent {
  id: string;
  seq: number;
  event: string;
  data: Record<string, unknown>;
}

/** A person's live connection, over as many sockets as it takes. */
export interface Phone {
  /** Everything it was told, in order. */
  events: readonly ReceivedEvent[];
  /** The server said that some of it is lost. */
  lossCount: number;
  /** Resolves with what came after the first `count`. */
  waitForMore(count: number): Promise<void>;
}

const wireMs = 1;
const reconnectMs = { least: 300, most: 1_500 };

/** Keeps a connection open, resumes after what it has, and takes an event only when it is the next one. */
export function openPhone(person: SimPerson): Phone {
  const { world, scope, clock } = person;
  const { scheduler, plan } = world;
  const events: ReceivedEvent[] = [];
  let lastSeq = 0;
  let waiting: (() => void)[] = [];
  const phone = {
    events,
    lossCount: 0,
    waitForMore: (count: number) =>
      events.length > count ? Promise.resolve() : new Promise<void>((resolve) => void waiting.push(resolve)),
  };
  void stayConnected();
  return phone;

  async function stayConnected(): Promise<void> {
    for (;;) {
      await connect();
      await person.pause(reconnectMs.least, reconnectMs.most);
    }
  }

  /** Resolves when the connection is over. */
  async function connect(): Promise<void> {
    const answer = await person.request('POST', '/v1/realtime/ticket');
    if (answer?.status !== 201) return;
    await new Promise<void>((over) => {
      scheduler.schedule(wireMs, scope, () => dial(String(answer.json.ticket), over));
    });
  }

  async function dial(ticket: string, over: () => void): Promise<void> {
    let isOver = false;
    const end = () => {
      if (isOver) return;
      isOver = true;
      scheduler.schedule(wireMs, scope, over);
    };
    const request = new Request(`http://edge/v1/realtime?ticket=${ticket}`);
    const opened = await world.openSocket(request, end).catch(() => undefined);
    if (opened === undefined) return end();
    const { handlers, scope: server } = opened;
    const toServer = (act: () => void) => void scheduler.schedule(wireMs, server, act);
    const hangUp = () => {
      end();
      toServer(() => handlers.close(socket, 1006, ''));
    };
    // What the handlers use of Bun's socket.
    const socket = {
      readyState: WebSocket.OPEN,
      getBufferedAmount: () => 0,
      ping: () => toServer(() => handlers.pong?.(socket)),
      close: hangUp,
      terminate: hangUp,
      send(text: string) {
        if (isOver) return 1;
        if (plan.draw('socket.cut', person.scope.name)) hangUp();
        else scheduler.schedule(wireMs, scope, () => (isOver ? undefined : receive(text, say)));
        return 1;
      },
    } as unknown as Socket;
    const say = (frame: object) => toServer(() => void handlers.message(socket, JSON.stringify(frame)));
    handlers.open(socket);
  }

  function receive(text: string, say: (frame: object) => void): void {
    const frame = Value.Parse(ServerFrame, JSON.parse(text));
    const resume = () => say({ type: 'resume', after: lastSeq });
    switch (frame.type) {
      case 'welcome':
        resume();
        return;
      case 'resumed':
        if (!frame.recovered) phone.lossCount++;
        lastSeq = Math.max(lastSeq, frame.lastSeq);
        return;
      case 'error':
        if (frame.code !== 'service.unavailable') return;
        void clock.sleep(500).then(resume);
        return;
      case 'event': {
        const { id, seq, event, data } = frame;
        if (lastSeq !== 0 && seq <= lastSeq) return;
        if (lastSeq !== 0 && seq !== lastSeq + 1) {
          resume();
          return;
        }
        lastSeq = seq;
        events.push({ id, seq, event, data });
        const woken = waiting;
        waiting = [];
        for (const wake of woken) wake();
      }
    }
  }
}
