import { describe, expect, test } from 'bun:test';
import type { EventId, PersonId } from '@contracts/ids.ts';
import { until } from '@testing/until.ts';
import type { PersonInbox } from '../inbox/inbox.ts';
import type { Delivery, Fanout, FanoutListener } from './fanout.ts';

export interface FanoutHarness {
  /** Creates one more instance. Instances of the same `deployment` reach each other and share the inbox. */
  create(deployment: string): { fanout: Fanout; inbox: PersonInbox };
}

const nowMs = 1_763_800_000_000;
let people = 0;
let deployments = 0;
const newPerson = () => `00000000-0000-7000-8000-${String(++people).padStart(12, '0')}` as PersonId;
const body = (n: number) => `"id":"${n}","data":{"name":"Đường  1"}}`;
const eventId = (n: number) => `00000000-0000-7000-9000-${String(n).padStart(12, '0')}` as EventId;

/** The number of the event in a delivery. */
export const eventNumberOf = ({ body }: Delivery): number => Number(/^"id":"(\d+)"/.exec(body)?.[1]);

/** Appends an event and publishes it to the instances that hold the person, like the consumer does. Returns the delivery. */
export async function appendAndPublish(
  by: { fanout: Fanout; inbox: PersonInbox } | undefined,
  personId: PersonId,
  n: number,
  nowMs: number,
): Promise<Delivery> {
  if (by === undefined) throw new Error('the publishing instance is missing');
  const { seq, instanceIds } = await by.inbox.append(personId, { eventId: eventId(n), body: body(n) }, nowMs);
  const delivery = { personId, seq, body: body(n) };
  await by.fanout.publish(delivery, instanceIds);
  return delivery;
}

/** A listener that ignores everything. */
export const idleListener: FanoutListener = {
  onDelivery: () => {},
  onTransientFrame: () => {},
  onBroadcast: () => {},
  onMissed: () => {},
};

/** The contract that every `Fanout` must satisfy. */
export function fanoutContract(name: string, { create }: FanoutHarness) {
  describe(`fan-out ${name}`, () => {
    async function start(count: number) {
      const deployment = `d${++deployments}`;
      const instances = await Promise.all(
        Array.from({ length: count }, async () => {
          const { fanout, inbox } = create(deployment);
          const deliveries: Delivery[] = [];
          const topics: string[] = [];
          await fanout.start({
            ...idleListener,
            onDelivery: (delivery) => void deliveries.push(delivery),
            onBroadcast: (topic, text) => void topics.push(`${topic} ${text}`),
          });
          return { fanout, inbox, deliveries, topics };
        }),
      );
      return { instances, stop: () => Promise.all(instances.map(({ fanout }) => fanout.stop())) };
    }

    test('a delivery reaches every instance with presence of the person, in the order sent, and no other', async () => {
      const { instances, stop } = await start(4);
      const [publisher, first, second, other] = instances;
      const [person, otherPerson] = [newPerson(), newPerson()];
      await first?.fanout.addPresence(person);
      await second?.fanout.addPresence(person);
      await other?.fanout.addPresence(otherPerson);
      const sent: Delivery[] = [];
      for (let n = 1; n <= 50; n++) sent.push(await appendAndPublish(publisher, person, n, nowMs));
      const toOtherPerson = await appendAndPublish(publisher, otherPerson, 7, nowMs);
      await until(
        () =>
          first?.deliveries.length === 50 &&
          second?.deliveries.length === 50 &&
          other?.deliveries.length === 1,
      );
      expect(first?.deliveries).toEqual(sent);
      expect(second?.deliveries).toEqual(sent);
      expect(other?.deliveries).toEqual([toOtherPerson]);
      await stop();
    });

    test('an instance receives its own deliveries for a person that is connected to it', async () => {
      const { instances, stop } = await start(1);
      const [only] = instances;
      const person = newPerson();
      await only?.fanout.addPresence(person);
      expect(only?.deliveries).toEqual([await appendAndPublish(only, person, 1, nowMs)]);
      await stop();
    });

    test('after presence is removed no delivery for the person arrives', async () => {
      const { instances, stop } = await start(2);
      const [publisher, receiver] = instances;
      const [person, kept] = [newPerson(), newPerson()];
      await receiver?.fanout.addPresence(person);
      await receiver?.fanout.addPresence(kept);
      await receiver?.fanout.removePresence(person);
      await appendAndPublish(publisher, person, 1, nowMs);
      await appendAndPublish(publisher, kept, 2, nowMs);
      await until(() => receiver?.deliveries.length === 1);
      expect(receiver?.deliveries.map(({ personId }) => personId)).toEqual([kept]);
      await stop();
    });

    test('renewing presence also adds it', async () => {
      const { instances, stop } = await start(2);
      const [publisher, receiver] = instances;
      const person = newPerson();
      await receiver?.fanout.renewPresence([person, newPerson()]);
      await appendAndPublish(publisher, person, 1, nowMs);
      await until(() => receiver?.deliveries.length === 1);
      await stop();
    });

    test('a redelivered event reaches the instances that hold the person by then', async () => {
      const { instances, stop } = await start(2);
      const [publisher, receiver] = instances;
      const person = newPerson();
      const first = await appendAndPublish(publisher, person, 1, nowMs);
      await receiver?.fanout.addPresence(person);
      expect(await appendAndPublish(publisher, person, 1, nowMs)).toEqual(first);
      await until(() => receiver?.deliveries.length === 1);
      expect(receiver?.deliveries).toEqual([first]);
      await stop();
    });

    test('an append for a person without presence returns no instance', async () => {
      const { instances, stop } = await start(1);
      const event = { eventId: eventId(1), body: body(1) };
      expect((await instances[0]?.inbox.append(newPerson(), event, nowMs))?.instanceIds).toEqual([]);
      await stop();
    });

    test('a broadcast reaches every instance that is subscribed to the topic, in the order sent, and no other', async () => {
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

    test('a broadcast after unsubscribing does not arrive', async () => {
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

    test('a stopped instance receives nothing', async () => {
      const { instances, stop } = await start(2);
      const [publisher, receiver] = instances;
      const person = newPerson();
      await receiver?.fanout.addPresence(person);
      await receiver?.fanout.stop();
      await appendAndPublish(publisher, person, 1, nowMs);
      expect(receiver?.deliveries).toEqual([]);
      await stop();
    });
  });
}
