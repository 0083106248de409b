import { describe, expect, test } from 'bun:test';
import type { EventId, PersonId } from '@contracts/ids.ts';
import { until } from '@testing/until.ts';
import type { PersonInbox } from '../inbox/inbox.ts';
import type { Delivery, Fanout, FanoutListener } from './fanout.ts';

export interface FanoutHarness {
  /** One more instance; those of the same `deployment` reach one another, and share the inbox. */
  create(deployment: string): { fanout: Fanout; inbox: PersonInbox };
}

const nowMs = 1_763_800_000_000;
let people = 0;
let deployments = 0;
const newPerson = () => `00000000-0000-7000-8000-${String(++people).padStart(12, '0')}` as PersonId;
const body = (n: number) => `"id":"${n}","data":{"name":"Đường  1"}}`;
const eventId = (n: number) => `00000000-0000-7000-9000-${String(n).padStart(12, '0')}` as EventId;

/** Which event that is. */
export const eventNumberOf = ({ body }: Delivery): number => Number(/^"id":"(\d+)"/.exec(body)?.[1]);

/** As an event is told: into the inbox, and to who holds the person then. Gives what is delivered. */
export async function appendAndPublish(
  by: { fanout: Fanout; inbox: PersonInbox } | undefined,
  personId: PersonId,
  n: number,
  nowMs: number,
): Promise<Delivery> {
  if (by === undefined) throw new Error('no instance to tell it');
  const { seq, holders } = await by.inbox.append(personId, { eventId: eventId(n), body: body(n) }, nowMs);
  const delivery = { personId, seq, body: body(n) };
  await by.fanout.publish(delivery, holders);
  return delivery;
}

/** A listener that does nothing with what it hears. */
export const idleListener: FanoutListener = {
  onDelivery: () => {},
  onTransientFrame: () => {},
  onBroadcast: () => {},
  onMissed: () => {},
};

/** What every Fanout promises. */
export function fanoutContract(name: string, { create }: FanoutHarness) {
  describe(`fan-out ${name}`, () => {
    async function start(count: number) {
      const deployment = `d${++deployments}`;
      const instances = await Promise.all(
        Array.from({ length: count }, async () => {
          const { fanout, inbox } = create(deployment);
          const heard: Delivery[] = [];
          const topics: string[] = [];
          await fanout.start({
            ...idleListener,
            onDelivery: (one) => void heard.push(one),
            onBroadcast: (topic, text) => void topics.push(`${topic} ${text}`),
          });
          return { fanout, inbox, heard, topics };
        }),
      );
      return { instances, stop: () => Promise.all(instances.map(({ fanout }) => fanout.stop())) };
    }

    test('a delivery reaches every instance that holds the person, in the order sent, and no other', async () => {
      const { instances, stop } = await start(4);
      const [publisher, first, second, other] = instances;
      const [person, somebody] = [newPerson(), newPerson()];
      await first?.fanout.addPresence(person);
      await second?.fanout.addPresence(person);
      await other?.fanout.addPresence(somebody);
      const sent: Delivery[] = [];
      for (let n = 1; n <= 50; n++) sent.push(await appendAndPublish(publisher, person, n, nowMs));
      const toSomebody = await appendAndPublish(publisher, somebody, 7, nowMs);
      await until(
        () => first?.heard.length === 50 && second?.heard.length === 50 && other?.heard.length === 1,
      );
      expect(first?.heard).toEqual(sent);
      expect(second?.heard).toEqual(sent);
      expect(other?.heard).toEqual([toSomebody]);
      await stop();
    });

    test('an instance hears what it publishes itself for a person that it holds', async () => {
      const { instances, stop } = await start(1);
      const [only] = instances;
      const person = newPerson();
      await only?.fanout.addPresence(person);
      expect(only?.heard).toEqual([await appendAndPublish(only, person, 1, nowMs)]);
      await stop();
    });

    test('after a release nothing more comes for the person', async () => {
      const { instances, stop } = await start(2);
      const [publisher, holder] = instances;
      const [person, kept] = [newPerson(), newPerson()];
      await holder?.fanout.addPresence(person);
      await holder?.fanout.addPresence(kept);
      await holder?.fanout.removePresence(person);
      await appendAndPublish(publisher, person, 1, nowMs);
      await appendAndPublish(publisher, kept, 2, nowMs);
      await until(() => holder?.heard.length === 1);
      expect(holder?.heard.map(({ personId }) => personId)).toEqual([kept]);
      await stop();
    });

    test('a renewal holds the person too', async () => {
      const { instances, stop } = await start(2);
      const [publisher, holder] = instances;
      const person = newPerson();
      await holder?.fanout.renewPresence([person, newPerson()]);
      await appendAndPublish(publisher, person, 1, nowMs);
      await until(() => holder?.heard.length === 1);
      await stop();
    });

    test('an event that is told again reaches who holds the person by then', async () => {
      const { instances, stop } = await start(2);
      const [publisher, holder] = instances;
      const person = newPerson();
      const first = await appendAndPublish(publisher, person, 1, nowMs);
      await holder?.fanout.addPresence(person);
      expect(await appendAndPublish(publisher, person, 1, nowMs)).toEqual(first);
      await until(() => holder?.heard.length === 1);
      expect(holder?.heard).toEqual([first]);
      await stop();
    });

    test('a person whom nobody holds has no holders', async () => {
      const { instances, stop } = await start(1);
      const event = { eventId: eventId(1), body: body(1) };
      expect((await instances[0]?.inbox.append(newPerson(), event, nowMs))?.holders).toEqual([]);
      await stop();
    });

    test('a broadcast reaches every instance that follows the topic, in the order sent, and no other', async () => {
      const { instances, stop } = await start(3);
      const [publisher, follower, other] = instances;
      await publisher?.fanout.subscribe('trips');
      await follower?.fanout.subscribe('trips');
      const texts = ['{"n":1}', '{"name":"Đường"}', '{"n":3}'];
      for (const text of texts) await publisher?.fanout.broadcast('trips', text);
      const expected = texts.map((text) => `trips ${text}`);
      await until(() => publisher?.topics.length === 3 && follower?.topics.length === 3);
      expect([publisher?.topics, follower?.topics, other?.topics]).toEqual([expected, expected, []]);
      await stop();
    });

    test('what is broadcast after a topic is no longer followed does not come', async () => {
      const { instances, stop } = await start(2);
      const [publisher, follower] = instances;
      await publisher?.fanout.subscribe('trips');
      await follower?.fanout.subscribe('trips');
      await follower?.fanout.unsubscribe('trips');
      await publisher?.fanout.broadcast('trips', '{}');
      await until(() => publisher?.topics.length === 1);
      expect(follower?.topics).toEqual([]);
      await stop();
    });

    test('an instance that stopped hears nothing', async () => {
      const { instances, stop } = await start(2);
      const [publisher, holder] = instances;
      const person = newPerson();
      await holder?.fanout.addPresence(person);
      await holder?.fanout.stop();
      await appendAndPublish(publisher, person, 1, nowMs);
      expect(holder?.heard).toEqual([]);
      await stop();
    });
  });
}
