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

const asReceived = ({ content, options }: OutgoingMessage): ReceivedMessage => ({
  content,
  properties: options,
});
const resultsOf = (message: ReceivedMessage) => unpackEvents(message).map(({ result }) => result);

function eventsOf(messages: readonly OutgoingMessage[]): DomainEvent[] {
  return messages.flatMap((message) =>
    resultsOf(asReceived(message)).map((result) => {
      if (result.kind === 'invalid') throw new Error(result.reason);
      return result.event;
    }),
  );
}

const batchWith = (...values: unknown[]): ReceivedMessage => ({
  content: Buffer.from(JSON.stringify(values)),
  properties: { contentType: 'application/cloudevents-batch+json', headers: {} },
});
const elementOf = (event: DomainEvent) => ({ specversion: '1.0', ...event });

describe('packEvents', () => {
  const anyEvents = fc.array(
    fc.record({ type: fc.constantFrom(...types), subject: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f') }),
    { maxLength: 200 },
  );

  test('keeps every event and the order of each subject, in bounded messages of one type each', () => {
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

  test('packs events of one type into as few messages as the limit allows', () => {
    const events = Array.from({ length: batchEventsMax * 2 + 1 }, () => sampleTripEvent());
    expect(packEvents('exchange', events).map((message) => eventsOf([message]).length)).toEqual([64, 64, 1]);
  });

  test('never exceeds the message size that consumers accept, also with characters of several bytes', () => {
    const events = Array.from({ length: 40 }, () => sampleTripEvent({ reason: '路'.repeat(5_000) }));
    const messages = packEvents('exchange', events);
    for (const { content } of messages) expect(content.length).toBeLessThanOrEqual(eventBytesMax);
    expect(eventsOf(messages)).toEqual(events);
  });

  test('encodes a single event as a message with its attributes as headers', () => {
    const event = sampleTripEvent();
    expect(packEvents('exchange', [event])).toEqual([encodeEvent('exchange', event)]);
  });
});

describe('unpackEvents', () => {
  test('parses each event of a batch on its own: an invalid one does not affect the others', () => {
    const good = sampleTripEvent();
    const invalid = { ...elementOf(sampleTripEvent()), type: 'trip.teleported.v1' };
    const old = { ...elementOf(sampleTripEvent()), specversion: '0.3' };
    expect(resultsOf(batchWith(elementOf(good), invalid, old, 7, null))).toEqual([
      { kind: 'event', event: good },
      { kind: 'invalid', reason: 'unknown type trip.teleported.v1' },
      { kind: 'invalid', reason: 'specversion is not 1.0' },
      { kind: 'invalid', reason: 'specversion is not 1.0' },
      { kind: 'invalid', reason: 'specversion is not 1.0' },
    ]);
  });

  test.each([
    ['not JSON', '[{"spec'],
    ['not an array', '{"specversion":"1.0"}'],
    ['empty', '[]'],
    ['larger than the limit', `["${'x'.repeat(eventBytesMax)}"]`],
  ])('returns one invalid event for a batch that is %s', (_, body) => {
    const message = { ...batchWith(), content: Buffer.from(body) };
    const unpacked = unpackEvents(message);
    expect(unpacked.map(({ result }) => result.kind)).toEqual(['invalid']);
    expect(unpacked[0]?.toSingleMessage()).toBe(message);
  });

  test('returns each event as the message that it would have been on its own', () => {
    const events = [sampleTripEvent(), sampleTripEvent()];
    const [message] = packEvents('exchange', events);
    if (message === undefined) throw new Error('nothing was packed');
    const single = unpackEvents(asReceived(message)).map((event) => event.toSingleMessage());
    expect(single).toEqual(events.map((event) => asReceived(encodeEvent('', event))));
  });

  test('returns an invalid event with the attributes that could be read', () => {
    const element = { ...elementOf(sampleTripEvent()), type: 'trip.teleported.v1', subject: 7 };
    const [event] = unpackEvents(batchWith(element));
    const single = event?.toSingleMessage();
    expect(single?.properties.headers).toMatchObject({
      'ce-id': element.id,
      'ce-type': 'trip.teleported.v1',
    });
    expect(single?.properties.headers).not.toHaveProperty('ce-subject');
    expect(JSON.parse(single?.content.toString() ?? '')).toEqual(element.data);
  });
});
