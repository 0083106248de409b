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

/** A person's live connection, onEnd as many sockets as it takes. */
export interface Phone {
  /** The events received so far, in order. */
  events: readonly ReceivedEvent[];
  /** How often the server reported that events are lost. */
  lossCount: number;
  /** Resolves when more than `count` events have been received. */
  waitForMore(count: number): Promise<void>;
}

const latencyMs = 1;
const reconnectMs = { min: 300, max: 1_500 };

/** Keeps a live connection open, resumes after the last event, and accepts only the next event in sequence. */
export function openPhone(person: SimPerson): Phone {
  const { world, scope, clock } = person;
  const { scheduler, plan } = world;
  const events: ReceivedEvent[] = [];
  let lastSeq = 0;
  let waiters: (() => void)[] = [];
  const phone = {
    events,
    lossCount: 0,
    waitForMore: (count: number) =>
      events.length > count ? Promise.resolve() : new Promise<void>((resolve) => void waiters.push(resolve)),
  };
  void stayConnected();
  return phone;

  async function stayConnected(): Promise<void> {
    for (;;) {
      await connect();
      await person.pause(reconnectMs.min, reconnectMs.max);
    }
  }

  /** Resolves when the connection has ended. */
  async function connect(): Promise<void> {
    const answer = await person.request('POST', '/v1/realtime/ticket');
    if (answer?.status !== 201) return;
    await new Promise<void>((onEnd) => {
      scheduler.schedule(latencyMs, scope, () => openSocket(String(answer.json.ticket), onEnd));
    });
  }

  async function openSocket(ticket: string, onEnd: () => void): Promise<void> {
    let isOver = false;
    const end = () => {
      if (isOver) return;
      isOver = true;
      scheduler.schedule(latencyMs, scope, onEnd);
    };
    const request = new Request(`http://edge/v1/realtime?ticket=${ticket}`);
    const opened = await world.openSocket(request, end).catch(() => undefined);
    if (opened === undefined) return end();
    const { handlers, scope: server } = opened;
    const toServer = (run: () => void) => void scheduler.schedule(latencyMs, server, run);
    const closeSocket = () => {
      end();
      toServer(() => handlers.close(socket, 1006, ''));
    };
    // The part of Bun's socket that the handlers use.
    const socket = {
      readyState: WebSocket.OPEN,
      getBufferedAmount: () => 0,
      ping: () => toServer(() => handlers.pong?.(socket)),
      close: closeSocket,
      terminate: closeSocket,
      send(text: string) {
        if (isOver) return 1;
        if (plan.draw('socket.cut', person.scope.name)) closeSocket();
        else scheduler.schedule(latencyMs, scope, () => (isOver ? undefined : receive(text, sendFrame)));
        return 1;
      },
    } as unknown as Socket;
    const sendFrame = (frame: object) => toServer(() => void handlers.message(socket, JSON.stringify(frame)));
    handlers.open(socket);
  }

  function receive(text: string, sendFrame: (frame: object) => void): void {
    const frame = Value.Parse(ServerFrame, JSON.parse(text));
    const resume = () => sendFrame({ type: 'resume', after: lastSeq });
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
        const woken = waiters;
        waiters = [];
        for (const wake of woken) wake();
      }
    }
  }
}
