import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { DomainEvent } from '@contracts/events.ts';
import { sampleTripEvent } from '@testing/events.ts';
import { until } from '@testing/until.ts';
import type { BusUnderTest, MakeBus } from '../bus.contract.ts';
import { done, type EventDelivery, type HandlerOutcome, type OperableBus } from '../bus.ts';
import { dropDeadLetters, findDeadLetter, listDeadLetters, redriveDeadLetters } from './operations.ts';

const queue = 'test.listener';

type Requested = EventDelivery<'trip.requested.v1' | 'trip.offer_lapsed.v1'>;

/** What every adapter of the bus promises to operators. */
export function deadLettersContract(name: string, makeBus: MakeBus): void {
  describe(name, () => {
    let made: BusUnderTest;
    let bus: OperableBus;
    let deliveries: Requested[];
    let answer: (delivery: Requested) => HandlerOutcome;

    beforeEach(async () => {
      made = await makeBus({ delaysMs: [20], attemptsMax: 1 });
      bus = made.bus;
      deliveries = [];
      answer = () => ({ kind: 'reject', reason: 'Makes no sense' });
      await bus.subscribe({
        queue,
        events: ['trip.requested.v1', 'trip.offer_lapsed.v1'],
        prefetch: 1,
        handle: async (delivery) => {
          deliveries.push(delivery);
          return answer(delivery);
        },
      });
    });
    afterEach(async () => {
      await bus.close();
      await made.cleanup();
    });

    /** Publishes them and waits until all are dead. */
    async function kill(events: DomainEvent[]): Promise<string[]> {
      const { dead } = await bus.queueCounts(queue);
      await bus.publish(events);
      await until(async () => (await bus.queueCounts(queue)).dead === dead + events.length);
      return events.map(({ id }) => id);
    }
    const killMany = (count: number) => kill(Array.from({ length: count }, () => sampleTripEvent()));
    const deadIds = async () => (await bus.deadLetters(queue)).map(({ id }) => id);
    const isDone = () => {
      answer = () => done;
      deliveries = [];
    };
    const redrive = (selection = {}, limit = 1_000) =>
      redriveDeadLetters(bus, queue, selection, limit, async () => undefined);

    const drop = (selection = {}, limit = 1_000) =>
      dropDeadLetters(bus, queue, selection, limit, async () => undefined);

    test('counts say what waits and what is dead, and are zero for a queue that was never declared', async () => {
      await killMany(3);
      expect(await bus.queueCounts(queue)).toEqual({ ready: 0, dead: 3 });
      expect(await bus.queueCounts('test.unknown')).toEqual({ ready: 0, dead: 0 });
      expect(
        await listDeadLetters(bus, 'test.unknown', { selection: {}, after: undefined, limit: 5 }),
      ).toEqual({ letters: [], next: undefined, total: 0, searched: 0 });
    });

    test('a list in pages shows each letter once, oldest first, and leaves all of them in order', async () => {
      const ids = await killMany(7);
      const seen: string[] = [];
      let after: Parameters<typeof listDeadLetters>[2]['after'];
      do {
        const page = await listDeadLetters(bus, queue, { selection: {}, after, limit: 3 });
        expect([page.total, page.searched]).toEqual([7, 7]);
        seen.push(...page.letters.map(({ id }) => id));
        after = page.next;
      } while (after !== undefined);
      expect(seen.toSorted()).toEqual(ids.toSorted());
      expect(await deadIds()).toEqual(ids);
    });

    test('however often many letters are looked at, they keep their order', async () => {
      const ids = await killMany(80);
      for (let looks = 0; looks < 3; looks++) expect(await deadIds()).toEqual(ids);
      const { letters } = await drop({ ids: ids.filter((_, at) => at % 2 === 0) });
      expect(letters.length).toBe(40);
      for (let looks = 0; looks < 2; looks++)
        expect(await deadIds()).toEqual(ids.filter((_, at) => at % 2 === 1));
    });

    test('letters are chosen by id, by type, and by a part of the reason', async () => {
      answer = ({ event }) => ({ kind: 'reject', reason: `Not for ${event.data.reason}` });
      const ids = await kill([
        sampleTripEvent({ reason: 'Ann' }),
        sampleTripEvent({ reason: 'Bob' }),
        sampleTripEvent({ type: 'trip.offer_lapsed.v1', reason: 'Ann' }),
      ]);
      const chosen = async (selection: Parameters<typeof listDeadLetters>[2]['selection']) => {
        const { letters } = await listDeadLetters(bus, queue, { selection, after: undefined, limit: 10 });
        return letters.map(({ id }) => ids.indexOf(id)).toSorted();
      };
      expect(await chosen({ ids: ids.slice(1) })).toEqual([1, 2]);
      expect(await chosen({ type: 'trip.requested.v1' })).toEqual([0, 1]);
      expect(await chosen({ reason: 'ann' })).toEqual([0, 2]);
      expect(await chosen({ reason: 'ann', type: 'trip.requested.v1' })).toEqual([0]);
    });

    test('one letter is shown with the event as it came', async () => {
      const event = sampleTripEvent();
      await kill([sampleTripEvent(), event]);
      expect(await findDeadLetter(bus, queue, event.id)).toMatchObject({
        ...{ queue, id: event.id, type: event.type, reason: 'Makes no sense', attempts: 1, redrives: 0 },
        body: event,
      });
      expect(await findDeadLetter(bus, queue, sampleTripEvent().id)).toBeUndefined();
      expect((await deadIds()).length).toBe(2);
    });

    test('a redrive delivers the letters as new, in order, and says which', async () => {
      const ids = await killMany(60);
      isDone();
      const told: string[] = [];
      const { letters, more } = await redriveDeadLetters(bus, queue, {}, 1_000, async (leaving) => {
        told.push(...leaving.map(({ id }) => id));
      });
      expect(letters.map(({ id }) => id)).toEqual(ids);
      expect([told, more]).toEqual([ids, false]);
      await until(() => deliveries.length === 60);
      expect(deliveries.map(({ event }) => event.id) as string[]).toEqual(ids);
      expect(new Set(deliveries.map(({ attempt }) => attempt))).toEqual(new Set([1]));
      expect(await deadIds()).toEqual([]);
    });

    test('a redrive goes to its queue alone', async () => {
      const elsewhere: string[] = [];
      await killMany(1);
      await bus.subscribe({
        queue: 'test.second',
        events: ['trip.requested.v1'],
        prefetch: 1,
        handle: async ({ event }) => {
          elsewhere.push(event.id);
          return done;
        },
      });
      isDone();
      await redrive();
      const later = sampleTripEvent();
      await bus.publish([later]);
      await until(() => elsewhere.length > 0 && deliveries.length === 2);
      expect(elsewhere).toEqual([later.id]);
    });

    test('a letter that fails again is dead again, with its redrives counted', async () => {
      const [id = ''] = await killMany(1);
      for (const redrives of [1, 2]) {
        await redrive({ ids: [id] });
        const letter = await until(() => findDeadLetter(bus, queue, id));
        expect([letter.redrives, letter.attempts]).toEqual([redrives, 1]);
      }
    });

    test('a redrive of all does not run after letters that die again meanwhile', async () => {
      await killMany(5);
      expect((await redrive()).letters.length).toBe(5);
    });

    test('a limit bounds a redrive and a drop, which say that there is more', async () => {
      const ids = await killMany(5);
      expect((await drop({}, 2)).letters.map(({ id }) => id)).toEqual(ids.slice(0, 2));
      isDone();
      const { letters, more } = await redrive({}, 2);
      expect([letters.map(({ id }) => id), more]).toEqual([ids.slice(2, 4), true]);
      expect(await deadIds()).toEqual(ids.slice(4));
      expect((await redrive({}, 2)).more).toBe(false);
    });

    test('a drop removes what was chosen for good, and nothing else', async () => {
      const ids = await killMany(3);
      const { letters } = await drop({ ids: ids.slice(1, 2) });
      expect(letters.map(({ id }) => id)).toEqual(ids.slice(1, 2));
      expect(await deadIds()).toEqual([ids[0] ?? '', ids[2] ?? '']);
      expect(deliveries.length).toBe(3);
    });

    test('a walk that fails in the middle loses no letter', async () => {
      const ids = await killMany(3);
      const failing = redriveDeadLetters(bus, queue, {}, 100, async () => {
        throw new Error('the operator stumbled');
      });
      await expect(failing).rejects.toThrow();
      await until(async () => (await deadIds()).length === 3);
      expect(await deadIds()).toEqual(ids);
    });

    test('operators who come at the same time see all letters, and each leaves once', async () => {
      const ids = await killMany(10);
      isDone();
      const [one, two, list] = await Promise.all([
        redrive({}, 5),
        redrive({}, 5),
        listDeadLetters(bus, queue, { selection: {}, after: undefined, limit: 100 }),
      ]);
      const left = [...one.letters, ...two.letters].map(({ id }) => id);
      expect(left.toSorted()).toEqual(ids.toSorted());
      expect([0, 5, 10]).toContain(list.letters.length);
      await until(() => deliveries.length === 10);
    });
  });
}
