import type { EventFrame, ServerFrame, Ticket } from '@contracts/realtime.ts';
import { expectStatus, type PersonClient } from './people.ts';
import { until } from './until.ts';

export interface RealtimeClient {
  /** All frames received so far, in order. */
  frames: ServerFrame[];
  /** The event frames among `frames`. */
  events(): EventFrame[];
  /** Resolves to the first event of this name, once it has arrived. */
  waitForEvent(name: string, timeoutMs?: number): Promise<EventFrame>;
  send(frame: object | string): void;
  /** Resolves to the close code. */
  closed: Promise<number>;
  close(): void;
}

/** Opens a live connection for a person with a new ticket; resolves after the welcome. */
export async function connectRealtime(url: string, person: PersonClient): Promise<RealtimeClient> {
  const { body } = await expectStatus(201, person.request<Ticket>('POST', '/v1/realtime/ticket'));
  const socket = new WebSocket(
    `${url.replace('http', 'ws')}/v1/realtime?ticket=${encodeURIComponent(body.ticket)}`,
  );
  const frames: ServerFrame[] = [];
  const closing = Promise.withResolvers<number>();
  socket.onmessage = ({ data }) => void frames.push(JSON.parse(String(data)));
  socket.onclose = ({ code }) => closing.resolve(code);
  const events = () => frames.filter((frame) => frame.type === 'event');
  await until(() => frames.some(({ type }) => type === 'welcome'), {
    describe: 'the welcome frame',
    actual: () => frames,
  });
  return {
    frames,
    events,
    waitForEvent: (name, timeoutMs = 10_000) =>
      until(() => events().find(({ event }) => event === name), {
        timeoutMs,
        describe: `the event ${name}`,
        actual: () => events().map(({ event }) => event),
      }),
    send: (frame) => socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame)),
    closed: closing.promise,
    close: () => socket.close(),
  };
}

/** Whether the seqs of the event frames rise by one, starting after `after`. */
export const isGapless = (frames: readonly EventFrame[], after: number): boolean =>
  frames.every(({ seq }, index) => seq === after + index + 1);
