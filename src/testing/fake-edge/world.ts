import { formatTimestamp } from '@contracts/common.ts';
import type { Clock } from '@platform/clock.ts';
import type { ServerWebSocket } from 'bun';

export type Json = Record<string, unknown>;
export type FakeSocket = ServerWebSocket<{ personId: string }>;

export interface FakePerson {
  id: string;
  role: string;
  online: boolean;
  vehicle: Json | null;
  tripId: string | null;
  card: string;
  earned: string[];
  inbox: { seq: number; text: string | undefined }[];
  socket: FakeSocket | undefined;
}

export interface FakeTrip extends Json {
  id: string;
  status: string;
  version: number;
  riderId: string;
  driverId: string | null;
}

export const firstSeq = 1_000_000;
export const newId = () => Bun.randomUUIDv7();

export interface FakeWorldOptions {
  clock: Clock;
  /** Whether an event is neither pushed nor kept; its seq is used up all the same. */
  shouldDropEvent: ((event: string, nth: number) => boolean) | undefined;
}

/** The people, trips and quotes of a fake edge, and the events that its people receive. */
export function createFakeWorld({ clock, shouldDropEvent }: FakeWorldOptions) {
  const people = new Map<string, FakePerson>();
  const eventCounts = new Map<string, number>();
  const after = (ms: number) => formatTimestamp(clock.nowMs() + ms);
  return {
    clock,
    people,
    trips: new Map<string, FakeTrip>(),
    /** The driver who is offered a trip. */
    offers: new Map<string, string>(),
    histories: new Map<string, Json[]>(),
    quotes: new Map<string, Json>(),
    after,
    now: () => after(0),
    paymentStatusOf: ({ riderId }: FakeTrip) =>
      people.get(riderId)?.card === 'tok_no_funds' ? 'failed' : 'captured',
    /** Adds an event to a person's inbox, and pushes it to their socket. */
    sendEvent(personId: string | null, event: string, data: Json): void {
      const person = people.get(personId ?? '');
      if (person === undefined) return;
      const nth = (eventCounts.get(event) ?? 0) + 1;
      eventCounts.set(event, nth);
      const seq = firstSeq + person.inbox.length + 1;
      const frame = JSON.stringify({ type: 'event', seq, id: newId(), event, data });
      const text = shouldDropEvent?.(event, nth) ? undefined : frame;
      person.inbox.push({ seq, text });
      if (text !== undefined) person.socket?.send(text);
    },
  };
}

export type FakeWorld = ReturnType<typeof createFakeWorld>;

export const problemAnswer = (status: number, code: string, headers: Record<string, string> = {}): Response =>
  Response.json(
    { type: `urn:uit-go:problem:${code}`, title: code, status, code },
    { status, headers: { 'content-type': 'application/problem+json', ...headers } },
  );
