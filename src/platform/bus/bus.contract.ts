import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { TripEventType } from '@contracts/events.ts';
import type { EventId } from '@contracts/ids.ts';
import { sampleTripEvent } from '@testing/events.ts';
import { until } from '@testing/until.ts';
import { type Bus, done, type EventDelivery, type HandlerOutcome, type OperableBus } from './bus.ts';
import type { RetryPolicy } from './retry-policy.ts';

/** A bus on a broker, or a namespace of one, that no other test uses. */
export interface BusUnderTest {
  bus: OperableBus;
  /** Removes everything that the test created, after `bus` was closed. */
  cleanup(): Promise<void>;
}

export type MakeBus = (retry: RetryPolicy) => Promise<BusUnderTest>;

const retry: RetryPolicy = { delaysMs: [20, 60], attemptsMax: 3 };
const queue = 'test.listener';
const events: TripEventType[] = ['trip.requested.v1'];

type Handle = (delivery: EventDelivery<TripEventType>) => Promise<HandlerOutcome>;

/** What every implementation of the bus guarantees. */
export function busContract(name: string, makeBus: MakeBus): void {
  describe(name, () => {
    let underTest: BusUnderTest;
    let bus: Bus;

    beforeEach(async () => {
      underTest = await makeBus(retry);
      bus = underTest.bus;
    });
    afterEach(async () => {
      await bus.close();
      await underTest.cleanup();
    });

    const listen = (handle: Handle, options: { queue?: string; prefetch?: number } = {}) =>
      bus.subscribe({ queue, events, prefetch: 10, ...options, handle });

    /** A handler that records its deliveries. */
    function createRecorder(outcome: Handle = async () => done) {
      const deliveries: EventDelivery<TripEventType>[] = [];
      const handle: Handle = async (delivery) => {
        deliveries.push(delivery);
        return outcome(delivery);
      };
      return { deliveries, handle, ids: () => deliveries.map(({ event }) => event.id) };
    }

    /** A handler whose calls wait until `open` is called. */
    function createGate() {
      const opened = Promise.withResolvers<void>();
      const inside: EventDelivery<TripEventType>[] = [];
      let active = 0;
      let activeMax = 0;
      const handle: Handle = async (delivery) => {
        inside.push(delivery);
        activeMax = Math.max(activeMax, ++active);
        await opened.promise;
        active--;
        return done;
      };
      return { handle, inside, open: () => opened.resolve(), activeMax: () => activeMax };
    }

    const deadLetters = (count: number) =>
      until(
        async () => {
          const letters = await bus.deadLetters(queue);
          return letters.length >= count && letters;
        },
        { describe: `${count} dead letters` },
      );

    describe('delivery', () => {
      test('an event reaches every queue that subscribes to its type, unchanged', async () => {
        const [first, second] = [createRecorder(), createRecorder()];
        await listen(first.handle, { queue: 'test.first' });
        await listen(second.handle, { queue: 'test.second' });
        const event = sampleTripEvent();
        event.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
        await bus.publish([event]);
        await until(() => first.deliveries.length === 1 && second.deliveries.length === 1);
        expect(first.deliveries[0]?.event).toEqual(event);
        expect(second.deliveries[0]?.event).toEqual(event);
        expect(first.deliveries[0]?.attempt).toBe(1);
      });

      test('consumers never share an object with the publisher or with one another', async () => {
        const [first, second] = [createRecorder(), createRecorder()];
        await listen(first.handle, { queue: 'test.first' });
        await listen(second.handle, { queue: 'test.second' });
        const event = sampleTripEvent();
        await bus.publish([event]);
        event.data.reason = 'changed by the publisher';
        await until(() => first.deliveries.length === 1 && second.deliveries.length === 1);
        const [firstEvent, secondEvent] = [first.deliveries[0]?.event, second.deliveries[0]?.event];
        expect(firstEvent?.data.reason).toBeNull();
        expect(firstEvent).not.toBe(secondEvent);
        expect(firstEvent?.data).not.toBe(secondEvent?.data);
      });

      test('a queue does not receive types that it does not subscribe to', async () => {
        const { deliveries, handle } = createRecorder();
        await listen(handle);
        const subscribed = sampleTripEvent();
        await bus.publish([sampleTripEvent({ type: 'trip.completed.v1' }), subscribed]);
        await until(() => deliveries.length > 0);
        expect(deliveries.map(({ event }) => event.type)).toEqual(['trip.requested.v1']);
      });

      test('instances that subscribe to the same queue share its events, each event reaching one of them', async () => {
        const [first, second] = [createRecorder(), createRecorder()];
        await listen(first.handle, { prefetch: 1 });
        await listen(second.handle, { prefetch: 1 });
        const published = Array.from({ length: 20 }, () => sampleTripEvent());
        for (const event of published) await bus.publish([event]);
        await until(() => first.deliveries.length + second.deliveries.length >= 20);
        expect([...first.ids(), ...second.ids()].sort()).toEqual(published.map(({ id }) => id).sort());
        expect(first.deliveries.length).toBeGreaterThan(0);
        expect(second.deliveries.length).toBeGreaterThan(0);
      });

      test('events published while no consumer runs are kept for the next consumer', async () => {
        const before = createRecorder();
        const stop = await listen(before.handle);
        await stop();
        const published = [sampleTripEvent(), sampleTripEvent()];
        await bus.publish(published);
        const after = createRecorder();
        await listen(after.handle);
        await until(() => after.deliveries.length === 2);
        expect(after.ids()).toEqual(published.map(({ id }) => id));
        expect(before.deliveries).toEqual([]);
      });

      test('an event without subscribers is dropped, and publishing it succeeds', async () => {
        await bus.publish([sampleTripEvent({ type: 'trip.cancelled.v1' })]);
      });
    });

    describe('order', () => {
      test('events of one subject are handled one after another, in the order of their publishing', async () => {
        const seen: EventId[] = [];
        const active = new Set<string>();
        let overlaps = 0;
        await listen(async ({ event }) => {
          if (active.has(event.subject)) overlaps++;
          active.add(event.subject);
          await nextTurn();
          seen.push(event.id);
          active.delete(event.subject);
          return done;
        });
        const published = Array.from({ length: 30 }, (_, at) =>
          sampleTripEvent({ subject: `subject-${at % 3}` }),
        );
        await bus.publish(published);
        await until(() => seen.length === 30);
        expect(overlaps).toBe(0);
        for (const subject of ['subject-0', 'subject-1', 'subject-2']) {
          const ids = idsOf(published.filter((event) => event.subject === subject));
          expect(seen.filter((id) => ids.includes(id))).toEqual(ids);
        }
      });

      test('different subjects are handled concurrently, up to the prefetch and never beyond', async () => {
        const { handle, inside, open, activeMax } = createGate();
        await listen(handle, { prefetch: 3 });
        await bus.publish(Array.from({ length: 8 }, () => sampleTripEvent()));
        await until(() => inside.length === 3);
        await bus.ping();
        expect(inside.length).toBe(3);
        open();
        await until(() => inside.length === 8);
        expect(activeMax()).toBe(3);
      });
    });

    describe('failure', () => {
      test('an event to be retried is redelivered with the next attempt number until it is done', async () => {
        const { deliveries, handle } = createRecorder(async ({ attempt }) =>
          attempt < 3 ? { kind: 'retry', reason: 'not yet' } : done,
        );
        await listen(handle);
        const event = sampleTripEvent();
        await bus.publish([event]);
        await until(() => deliveries.length === 3);
        expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
        expect(deliveries[2]?.event).toEqual(event);
        expect(await bus.deadLetters(queue)).toEqual([]);
      });

      test('a subscription with a retry policy of its own is retried by that policy', async () => {
        const { deliveries, handle } = createRecorder(async () => ({ kind: 'retry', reason: 'not yet' }));
        await bus.subscribe({
          ...{ queue, events, prefetch: 10, handle },
          retry: { delaysMs: [10], attemptsMax: 2 },
        });
        await bus.publish([sampleTripEvent()]);
        const [letter] = await deadLetters(1);
        expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2]);
        expect(letter).toMatchObject({ attempts: 2, reason: 'not yet' });
      });

      test('a handler that throws counts as a retry', async () => {
        const { deliveries, handle } = createRecorder(async ({ attempt }) => {
          if (attempt === 1) throw new Error('stumbled');
          return done;
        });
        await listen(handle);
        await bus.publish([sampleTripEvent()]);
        await until(() => deliveries.length === 2);
        expect(deliveries[1]?.attempt).toBe(2);
      });

      test('an event that waits for its retry delays no other event', async () => {
        const { deliveries, handle } = createRecorder(async ({ event, attempt }) =>
          event.data.reason === 'slow' && attempt === 1 ? { kind: 'retry', reason: 'later' } : done,
        );
        await listen(handle, { prefetch: 1 });
        const [slow, quick] = [sampleTripEvent({ reason: 'slow' }), sampleTripEvent()];
        await bus.publish([slow, quick]);
        await until(() => deliveries.length === 3);
        expect(deliveries.map(({ event }) => event.id)).toEqual([slow.id, quick.id, slow.id]);
      });

      test('after its last attempt an event is a dead letter with the last reason and the number of attempts', async () => {
        const { deliveries, handle } = createRecorder(async ({ attempt }) => {
          throw new Error(`failure ${attempt}`);
        });
        await listen(handle);
        const event = sampleTripEvent();
        await bus.publish([event]);
        const [letter] = await deadLetters(1);
        expect(deliveries.length).toBe(3);
        expect(letter).toMatchObject({ queue, id: event.id, type: event.type, attempts: 3, body: event });
        expect(letter?.reason).toBe('failure 3');
        expect(Date.parse(letter?.lastFailedAt ?? '')).toBeGreaterThan(
          Date.parse(letter?.firstFailedAt ?? ''),
        );
      });

      test('a rejected event is a dead letter at once, and the consumer continues', async () => {
        const { deliveries, handle } = createRecorder(async ({ event }) =>
          event.data.reason === 'bad' ? { kind: 'reject', reason: 'makes no sense' } : done,
        );
        await listen(handle);
        const [bad, good] = [sampleTripEvent({ reason: 'bad' }), sampleTripEvent()];
        await bus.publish([bad, good]);
        const [letter] = await deadLetters(1);
        await until(() => deliveries.length === 2);
        expect(letter).toMatchObject({ id: bad.id, reason: 'makes no sense', attempts: 1, body: bad });
      });

      test('listing dead letters keeps them in the queue', async () => {
        await listen(async () => ({ kind: 'reject', reason: 'no' }));
        await bus.publish([sampleTripEvent(), sampleTripEvent()]);
        const first = await deadLetters(2);
        const again = await deadLetters(2);
        expect(idsOf(again).sort()).toEqual(idsOf(first).sort());
        expect(await bus.deadLetters('test.unknown')).toEqual([]);
      });
    });

    describe('stopping', () => {
      test('waits for the running handler and aborts its signal', async () => {
        const { handle, inside, open } = createGate();
        const stop = await listen(handle);
        await bus.publish([sampleTripEvent()]);
        await until(() => inside.length === 1);
        let stopped = false;
        const stopping = stop().then(() => {
          stopped = true;
        });
        await until(() => inside[0]?.signal.aborted === true);
        await bus.ping();
        expect(stopped).toBe(false);
        open();
        await stopping;
        const later = createRecorder();
        await listen(later.handle);
        const next = sampleTripEvent();
        await bus.publish([next]);
        await until(() => later.deliveries.length > 0);
        expect(later.ids()).toEqual([next.id]);
      });

      test('returns deliveries whose handlers had not started, in order', async () => {
        const { handle, inside, open } = createGate();
        const stop = await listen(handle);
        const published = Array.from({ length: 4 }, () => sampleTripEvent({ subject: 'one' }));
        for (const event of published) await bus.publish([event]);
        await until(() => inside.length === 1);
        const stopping = stop();
        open();
        await stopping;
        const next = createRecorder();
        await listen(next.handle);
        await until(() => next.deliveries.length === 3);
        expect(next.ids()).toEqual(idsOf(published).slice(1));
      });

      test('publishing and pinging reject after close', async () => {
        await bus.close();
        expect(bus.publish([sampleTripEvent()])).rejects.toThrow();
        expect(bus.ping()).rejects.toThrow();
      });
    });

    test('publishing an event that breaks its schema rejects, and nothing of its batch is published', async () => {
      const { deliveries, handle } = createRecorder();
      await listen(handle);
      const broken = sampleTripEvent();
      Object.assign(broken.data, { version: 'one' });
      await expect(bus.publish([sampleTripEvent(), broken])).rejects.toThrow(/\/data\/version/);
      const whole = sampleTripEvent();
      await bus.publish([whole]);
      await until(() => deliveries.length > 0);
      expect(deliveries.map(({ event }) => event.id)).toEqual([whole.id]);
    });
  });
}

const idsOf = <Id extends string>(items: readonly { id: Id }[]): Id[] => items.map(({ id }) => id);

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));
