import { describe, expect, test } from 'bun:test';
import type { PersonId } from '@contracts/ids.ts';
import { until } from '@testing/until.ts';
import type { Delivery, Fanout, FanoutListener } from './fanout.ts';

export interface FanoutHarness {
  /** One more instance; those of the same `deployment` reach one another. */
  create(deployment: string): Fanout;
}

let people = 0;
let deployments = 0;
const newPerson = () => `00000000-0000-7000-8000-${String(++people).padStart(12, '0')}` as PersonId;
const delivery = (personId: PersonId, seq: number): Delivery => ({
  personId,
  seq,
  body: `"id":"${seq}","data":{"name":"Đường  1"}}`,
});

/** A listener that does nothing with what it hears. */
export const deaf: FanoutListener = {
  deliver: () => {},
  signal: () => {},
  broadcast: () => {},
  missed: () => {},
};

/** What every Fanout promises. */
export function fanoutContract(name: string, { create }: FanoutHarness) {
  describe(`fan-out ${name}`, () => {
    async function start(count: number) {
      const deployment = `d${++deployments}`;
      const instances = await Promise.all(
        Array.from({ length: count }, async () => {
          const fanout = create(deployment);
          const heard: Delivery[] = [];
          const topics: string[] = [];
          await fanout.start({
            ...deaf,
            deliver: (one) => void heard.push(one),
            broadcast: (topic, text) => void topics.push(`${topic} ${text}`),
          });
          return { fanout, heard, topics };
        }),
      );
      return { instances, stop: () => Promise.all(instances.map(({ fanout }) => fanout.stop())) };
    }

    test('a delivery reaches every instance that holds the person, in the order sent, and no other', async () => {
      const { instances, stop } = await start(4);
      const [publisher, first, second, other] = instances;
      const [person, somebody] = [newPerson(), newPerson()];
      await first?.fanout.hold(person);
      await second?.fanout.hold(person);
      await other?.fanout.hold(somebody);
      const sent = Array.from({ length: 50 }, (_, n) => delivery(person, n + 1));
      for (const one of sent) await publisher?.fanout.publish(one);
      await publisher?.fanout.publish(delivery(somebody, 7));
      await until(
        () => first?.heard.length === 50 && second?.heard.length === 50 && other?.heard.length === 1,
      );
      expect(first?.heard).toEqual(sent);
      expect(second?.heard).toEqual(sent);
      expect(other?.heard).toEqual([delivery(somebody, 7)]);
      await stop();
    });

    test('an instance hears what it publishes itself for a person that it holds', async () => {
      const { instances, stop } = await start(1);
      const [only] = instances;
      const person = newPerson();
      await only?.fanout.hold(person);
      await only?.fanout.publish(delivery(person, 1));
      expect(only?.heard).toEqual([delivery(person, 1)]);
      await stop();
    });

    test('after a release nothing more comes for the person', async () => {
      const { instances, stop } = await start(2);
      const [publisher, holder] = instances;
      const [person, kept] = [newPerson(), newPerson()];
      await holder?.fanout.hold(person);
      await holder?.fanout.hold(kept);
      await holder?.fanout.release(person);
      await publisher?.fanout.publish(delivery(person, 1));
      await publisher?.fanout.publish(delivery(kept, 2));
      await until(() => holder?.heard.some(({ seq }) => seq === 2));
      expect(holder?.heard.map(({ seq }) => seq)).toEqual([2]);
      await stop();
    });

    test('a renewal holds the person too', async () => {
      const { instances, stop } = await start(2);
      const [publisher, holder] = instances;
      const person = newPerson();
      await holder?.fanout.renew([person, newPerson()]);
      await publisher?.fanout.publish(delivery(person, 1));
      await until(() => holder?.heard.length === 1);
      await stop();
    });

    test('a publish for a person whom nobody holds is for nobody', async () => {
      const { instances, stop } = await start(1);
      await instances[0]?.fanout.publish(delivery(newPerson(), 1));
      await stop();
    });

    test('a broadcast reaches every instance that follows the topic, in the order sent, and no other', async () => {
      const { instances, stop } = await start(3);
      const [publisher, follower, other] = instances;
      await publisher?.fanout.follow('trips');
      await follower?.fanout.follow('trips');
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
      await publisher?.fanout.follow('trips');
      await follower?.fanout.follow('trips');
      await follower?.fanout.unfollow('trips');
      await publisher?.fanout.broadcast('trips', '{}');
      await until(() => publisher?.topics.length === 1);
      expect(follower?.topics).toEqual([]);
      await stop();
    });

    test('an instance that stopped hears nothing', async () => {
      const { instances, stop } = await start(2);
      const [publisher, holder] = instances;
      const person = newPerson();
      await holder?.fanout.hold(person);
      await holder?.fanout.stop();
      await publisher?.fanout.publish(delivery(person, 1));
      expect(holder?.heard).toEqual([]);
      await stop();
    });
  });
}
