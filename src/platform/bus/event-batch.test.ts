import { describe, expect, test } from 'bun:test';
import type { DomainEvent, TripEventType } from '@contracts/events.ts';
import { sampleTripEvent } from '@testing/events.ts';
import fc from 'fast-check';
import { batchEventsMax, packEvents, unpackEvents } from './event-batch.ts';
import { encodeEvent, eventBytesMax, type OutgoingMessage, type ReceivedMessage } from './message.ts';

const types = [
  'trip.requested.v1',
  'trip.offered.v1',
  'trip.completed.v1',
] as const satisfies TripEventType[];

const carried = ({ content, options }: OutgoingMessage): ReceivedMessage => ({
  content,
  properties: options,
});
const readingsOf = (message: ReceivedMessage) => unpackEvents(message).map(({ result }) => result);

function eventsOf(messages: readonly OutgoingMessage[]): DomainEvent[] {
  return messages.flatMap((message) =>
    readingsOf(carried(message)).map((reading) => {
      if (reading.kind === 'broken') throw new Error(reading.reason);
      return reading.event;
    }),
  );
}

const batchWith = (...values: unknown[]): ReceivedMessage => ({
  content: Buffer.from(JSON.stringify(values)),
  properties: { contentType: 'application/cloudevents-batch+json', headers: {} },
});
const elementOf = (event: DomainEvent) => ({ specversion: '1.0', ...event });

describe('events that are published together', () => {
  const anyEvents = fc.array(
    fc.record({ type: fc.constantFrom(...types), subject: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f') }),
    { maxLength: 200 },
  );

  test('all arrive as they were, each subject in its order, each message of one type and bounded', () => {
    fc.assert(
      fc.property(anyEvents, (made) => {
        const events = made.map((options, version) => sampleTripEvent({ ...options, version: version + 1 }));
        const messages = packEvents('exchange', events);
        const arrived = eventsOf(messages);
        const bySubject = (list: readonly DomainEvent[]) => Object.groupBy(list, ({ subject }) => subject);
        expect({ ...bySubject(arrived) }).toEqual({ ...bySubject(events) });
        for (const message of messages) {
          const inside = eventsOf([message]);
          expect(new Set(inside.map(({ type }) => type))).toEqual(
            new Set([message.routingKey as TripEventType]),
          );
          expect(inside.length).toBeLessThanOrEqual(batchEventsMax);
          expect(message.content.length).toBeLessThanOrEqual(eventBytesMax);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('of one type are as few messages as the bound allows', () => {
    const events = Array.from({ length: batchEventsMax * 2 + 1 }, () => sampleTripEvent());
    expect(packEvents('exchange', events).map((message) => eventsOf([message]).length)).toEqual([64, 64, 1]);
  });

  test('fill no message beyond what a consumer takes, also in characters of many bytes', () => {
    const events = Array.from({ length: 40 }, () => sampleTripEvent({ reason: '路'.repeat(5_000) }));
    const messages = packEvents('exchange', events);
    for (const { content } of messages) expect(content.length).toBeLessThanOrEqual(eventBytesMax);
    expect(eventsOf(messages)).toEqual(events);
  });

  test('one alone is the message that it always was, with its attributes as headers', () => {
    const event = sampleTripEvent();
    expect(packEvents('exchange', [event])).toEqual([encodeEvent('exchange', event)]);
  });
});

describe('a batch that arrives', () => {
  test('has its events read one by one: a broken one spoils no other', () => {
    const good = sampleTripEvent();
    const broken = { ...elementOf(sampleTripEvent()), type: 'trip.teleported.v1' };
    const old = { ...elementOf(sampleTripEvent()), specversion: '0.3' };
    expect(readingsOf(batchWith(elementOf(good), broken, old, 7, null))).toEqual([
      { kind: 'event', event: good },
      { kind: 'broken', reason: 'unknown type trip.teleported.v1' },
      { kind: 'broken', reason: 'specversion is not 1.0' },
      { kind: 'broken', reason: 'specversion is not 1.0' },
      { kind: 'broken', reason: 'specversion is not 1.0' },
    ]);
  });

  test.each([
    ['not JSON', '[{"spec'],
    ['no list', '{"specversion":"1.0"}'],
    ['empty', '[]'],
    ['larger than a message may be', `["${'x'.repeat(eventBytesMax)}"]`],
  ])('is one broken part when it is %s', (_, body) => {
    const message = { ...batchWith(), content: Buffer.from(body) };
    const parts = unpackEvents(message);
    expect(parts.map(({ result }) => result.kind)).toEqual(['broken']);
    expect(parts[0]?.toSingleMessage()).toBe(message);
  });

  test('gives each event as the message that it would have been alone', () => {
    const events = [sampleTripEvent(), sampleTripEvent()];
    const [message] = packEvents('exchange', events);
    if (message === undefined) throw new Error('nothing was packed');
    const alone = unpackEvents(carried(message)).map((part) => part.toSingleMessage());
    expect(alone).toEqual(events.map((event) => carried(encodeEvent('', event))));
  });

  test('gives a broken event with what could be read of it', () => {
    const element = { ...elementOf(sampleTripEvent()), type: 'trip.teleported.v1', subject: 7 };
    const [part] = unpackEvents(batchWith(element));
    const alone = part?.toSingleMessage();
    expect(alone?.properties.headers).toMatchObject({ 'ce-id': element.id, 'ce-type': 'trip.teleported.v1' });
    expect(alone?.properties.headers).not.toHaveProperty('ce-subject');
    expect(JSON.parse(alone?.content.toString() ?? '')).toEqual(element.data);
  });
});
