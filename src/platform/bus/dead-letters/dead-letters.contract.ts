import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { DomainEvent } from '@contracts/events.ts';
import { sampleTripEvent } from '@testing/events.ts';
import { until } from '@testing/until.ts';
import type { BusUnderTest, MakeBus } from '../bus.contract.ts';
import { done, type EventDelivery, type HandlerOutcome, type OperableBus } from '../bus.ts';
import { dropDeadLetters, findDeadLetter, listDeadLetters, redriveDeadLetters } from './operations.ts';

const queue = 'test.listener';

type Requested = EventDelivery<'trip.requested.v1' | 'trip.offer_lapsed.v1'>;

/** What every implementation of the bus guarantees to operators. */
export function deadLettersContract(name: string, makeBus: MakeBus): void {
  describe(name, () => {
    let underTest: BusUnderTest;
    let bus: OperableBus;
    let deliveries: Requested[];
    let decideOutcome: (delivery: Requested) => HandlerOutcome;

    beforeEach(async () => {
      underTest = await makeBus({ delaysMs: [20], attemptsMax: 1 });
      bus = underTest.bus;
      deliveries = [];
      decideOutcome = () => ({ kind: 'reject', reason: 'Makes no sense' });
      await bus.subscribe({
        queue,
        events: ['trip.requested.v1', 'trip.offer_lapsed.v1'],
        prefetch: 1,
        handle: async (delivery) => {
          deliveries.push(delivery);
          return decideOutcome(delivery);
        },
      });
    });
    afterEach(async () => {
      await bus.close();
      await underTest.cleanup();
    });

    /** Publishes the events and waits until all of them are dead letters. */
    async function kill(events: DomainEvent[]): Promise<string[]> {
      const { dead } = await bus.queueCounts(queue);
      await bus.publish(events);
      await until(async () => (await bus.queueCounts(queue)).dead === dead + events.length);
      return events.map(({ id }) => id);
    }
    const killMany = (count: number) => kill(Array.from({ length: count }, () => sampleTripEvent()));
    const deadIds = async () => (await bus.deadLetters(queue)).map(({ id }) => id);
    const acceptFromNowOn = () => {
      decideOutcome = () => done;
      deliveries = [];
    };
    const redrive = (filter = {}, limit = 1_000) =>
      redriveDeadLetters(bus, queue, filter, limit, async () => undefined);

    const drop = (filter = {}, limit = 1_000) =>
      dropDeadLetters(bus, queue, filter, limit, async () => undefined);

    test('counts are those of ready events and dead letters, and zero for a queue that was never declared', async () => {
      await killMany(3);
      expect(await bus.queueCounts(queue)).toEqual({ ready: 0, dead: 3 });
      expect(await bus.queueCounts('test.unknown')).toEqual({ ready: 0, dead: 0 });
      expect(await listDeadLetters(bus, 'test.unknown', { filter: {}, after: undefined, limit: 5 })).toEqual({
        deadLetters: [],
        next: undefined,
        total: 0,
        searched: 0,
      });
    });

    test('a list in pages shows each dead letter once, oldest first, and keeps their order', async () => {
      const ids = await killMany(7);
      const seen: string[] = [];
      let after: Parameters<typeof listDeadLetters>[2]['after'];
      do {
        const page = await listDeadLetters(bus, queue, { filter: {}, after, limit: 3 });
        expect([page.total, page.searched]).toEqual([7, 7]);
        seen.push(...page.deadLetters.map(({ id }) => id));
        after = page.next;
      } while (after !== undefined);
      expect(seen.toSorted()).toEqual(ids.toSorted());
      expect(await deadIds()).toEqual(ids);
    });

    test('many dead letters keep their order however often they are listed', async () => {
      const ids = await killMany(80);
      for (let scans = 0; scans < 3; scans++) expect(await deadIds()).toEqual(ids);
      const { deadLetters } = await drop({ ids: ids.filter((_, at) => at % 2 === 0) });
      expect(deadLetters.length).toBe(40);
      for (let scans = 0; scans < 2; scans++)
        expect(await deadIds()).toEqual(ids.filter((_, at) => at % 2 === 1));
    });

    test('dead letters are selected by id, by type, and by a part of the reason', async () => {
      decideOutcome = ({ event }) => ({ kind: 'reject', reason: `Not for ${event.data.reason}` });
      const ids = await kill([
        sampleTripEvent({ reason: 'Ann' }),
        sampleTripEvent({ reason: 'Bob' }),
        sampleTripEvent({ type: 'trip.offer_lapsed.v1', reason: 'Ann' }),
      ]);
      const select = async (filter: Parameters<typeof listDeadLetters>[2]['filter']) => {
        const { deadLetters } = await listDeadLetters(bus, queue, { filter, after: undefined, limit: 10 });
        return deadLetters.map(({ id }) => ids.indexOf(id)).toSorted();
      };
      expect(await select({ ids: ids.slice(1) })).toEqual([1, 2]);
      expect(await select({ type: 'trip.requested.v1' })).toEqual([0, 1]);
      expect(await select({ reason: 'ann' })).toEqual([0, 2]);
      expect(await select({ reason: 'ann', type: 'trip.requested.v1' })).toEqual([0]);
    });

    test('a dead letter is found with the event as it was received', async () => {
      const event = sampleTripEvent();
      await kill([sampleTripEvent(), event]);
      expect(await findDeadLetter(bus, queue, event.id)).toMatchObject({
        ...{ queue, id: event.id, type: event.type, reason: 'Makes no sense', attempts: 1, redrives: 0 },
        body: event,
      });
      expect(await findDeadLetter(bus, queue, sampleTripEvent().id)).toBeUndefined();
      expect((await deadIds()).length).toBe(2);
    });

    test('a redrive delivers the events as new, in order, and returns their dead letters', async () => {
      const ids = await killMany(60);
      acceptFromNowOn();
      const announced: string[] = [];
      const { deadLetters, hasMore } = await redriveDeadLetters(
        bus,
        queue,
        {},
        1_000,
        async (deadLetters) => {
          announced.push(...deadLetters.map(({ id }) => id));
        },
      );
      expect(deadLetters.map(({ id }) => id)).toEqual(ids);
      expect([announced, hasMore]).toEqual([ids, false]);
      await until(() => deliveries.length === 60);
      expect(deliveries.map(({ event }) => event.id) as string[]).toEqual(ids);
      expect(new Set(deliveries.map(({ attempt }) => attempt))).toEqual(new Set([1]));
      expect(await deadIds()).toEqual([]);
    });

    test('a redrive reaches only its own queue', async () => {
      const otherQueue: string[] = [];
      await killMany(1);
      await bus.subscribe({
        queue: 'test.second',
        events: ['trip.requested.v1'],
        prefetch: 1,
        handle: async ({ event }) => {
          otherQueue.push(event.id);
          return done;
        },
      });
      acceptFromNowOn();
      await redrive();
      const later = sampleTripEvent();
      await bus.publish([later]);
      await until(() => otherQueue.length > 0 && deliveries.length === 2);
      expect(otherQueue).toEqual([later.id]);
    });

    test('a redriven event that fails again is a dead letter again, with its redrives counted', async () => {
      const [id = ''] = await killMany(1);
      for (const redrives of [1, 2]) {
        await redrive({ ids: [id] });
        const letter = await until(() => findDeadLetter(bus, queue, id));
        expect([letter.redrives, letter.attempts]).toEqual([redrives, 1]);
      }
    });

    test('a redrive of all does not follow events that die again meanwhile', async () => {
      await killMany(5);
      expect((await redrive()).deadLetters.length).toBe(5);
    });

    test('a limit bounds a redrive and a drop, which report that there are more', async () => {
      const ids = await killMany(5);
      expect((await drop({}, 2)).deadLetters.map(({ id }) => id)).toEqual(ids.slice(0, 2));
      acceptFromNowOn();
      const { deadLetters, hasMore } = await redrive({}, 2);
      expect([deadLetters.map(({ id }) => id), hasMore]).toEqual([ids.slice(2, 4), true]);
      expect(await deadIds()).toEqual(ids.slice(4));
      expect((await redrive({}, 2)).hasMore).toBe(false);
    });

    test('a drop removes the selected dead letters permanently, and nothing else', async () => {
      const ids = await killMany(3);
      const { deadLetters } = await drop({ ids: ids.slice(1, 2) });
      expect(deadLetters.map(({ id }) => id)).toEqual(ids.slice(1, 2));
      expect(await deadIds()).toEqual([ids[0] ?? '', ids[2] ?? '']);
      expect(deliveries.length).toBe(3);
    });

    test('a scan that fails in the middle loses no dead letter', async () => {
      const ids = await killMany(3);
      const failing = redriveDeadLetters(bus, queue, {}, 100, async () => {
        throw new Error('the operation failed');
      });
      await expect(failing).rejects.toThrow();
      await until(async () => (await deadIds()).length === 3);
      expect(await deadIds()).toEqual(ids);
    });

    test('concurrent operations see all dead letters, and each leaves once', async () => {
      const ids = await killMany(10);
      acceptFromNowOn();
      const [first, second, list] = await Promise.all([
        redrive({}, 5),
        redrive({}, 5),
        listDeadLetters(bus, queue, { filter: {}, after: undefined, limit: 100 }),
      ]);
      const redriven = [...first.deadLetters, ...second.deadLetters].map(({ id }) => id);
      expect(redriven.toSorted()).toEqual(ids.toSorted());
      expect([0, 5, 10]).toContain(list.deadLetters.length);
      await until(() => deliveries.length === 10);
    });
  });
}
