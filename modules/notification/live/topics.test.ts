import { afterEach, describe, expect, test } from 'bun:test';
import type { TopicFrame } from '@contracts/realtime.ts';
import { until } from '@testing/until.ts';
import { createMemoryFanout, createMemoryFanoutHub } from '../fanout/memory.ts';
import {
  newPerson,
  startTestInstance,
  type TestInstance,
  type TestSocket,
  tripEventOf,
} from '../testing/harness.ts';

const running: TestInstance[] = [];
const start = async (...args: Parameters<typeof startTestInstance>) => {
  const instance = await startTestInstance(...args);
  running.push(instance);
  return instance;
};
afterEach(async () => {
  await Promise.all(running.splice(0).map((instance) => instance.stop()));
});

const topicFrames = ({ frames }: TestSocket) =>
  frames.filter((frame): frame is TopicFrame => frame.type === 'topic');

async function subscribe(socket: TestSocket): Promise<TestSocket> {
  socket.send({ type: 'subscribe', topic: 'trips' });
  await socket.waitForFrame('subscribed');
  return socket;
}

describe('an operator who subscribes to trips', () => {
  test('receives every trip event in order, without payment details', async () => {
    const instance = await start();
    const operator = await subscribe(await instance.connect(newPerson(), 'ops'));
    const [rider, driver] = [newPerson(), newPerson()];
    const events = [
      tripEventOf('trip.requested.v1', { rider }),
      tripEventOf('trip.offered.v1', { rider, offered: driver }),
      tripEventOf('trip.assigned.v1', { rider, driver }),
    ];
    await instance.bus.publish(events);
    await until(() => topicFrames(operator).length === 3);
    expect(topicFrames(operator).map(({ id, event }) => [id, event])).toEqual(
      events.map(({ id, type }) => [id, type.replace('.v1', '')]),
    );
    for (const { data } of topicFrames(operator)) {
      expect(String(data.riderId)).toBe(rider);
      expect(Object.keys(data)).not.toContain('paymentMethodId');
      expect(Object.keys(data)).not.toContain('quoteId');
    }
    expect(operator.events()).toEqual([]);
  });

  test('receives nothing after unsubscribing', async () => {
    const instance = await start();
    const operator = await subscribe(await instance.connect(newPerson(), 'ops'));
    const other = await subscribe(await instance.connect(newPerson(), 'ops'));
    operator.send({ type: 'unsubscribe', topic: 'trips' });
    await operator.waitForFrame('unsubscribed');
    await instance.bus.publish([tripEventOf('trip.requested.v1', { rider: newPerson() })]);
    await until(() => topicFrames(other).length === 1);
    expect(topicFrames(operator)).toEqual([]);
  });

  test('receives `missed` when events may have been lost', async () => {
    const fanout = createMemoryFanout(createMemoryFanoutHub());
    let missed = () => {};
    const instance = await start({
      fanout: {
        ...fanout,
        start: (listener) => {
          missed = listener.onMissed;
          return fanout.start(listener);
        },
      },
    });
    const operator = await subscribe(await instance.connect(newPerson(), 'ops'));
    missed();
    expect(await operator.waitForFrame('missed')).toEqual({ type: 'missed', topic: 'trips' });
  });

  test('receives an error when the subscription fails, and may try again', async () => {
    const fanout = createMemoryFanout(createMemoryFanoutHub());
    let isUnavailable = true;
    const instance = await start({
      fanout: {
        ...fanout,
        subscribe: (topic) =>
          isUnavailable ? Promise.reject(new Error('unavailable')) : fanout.subscribe(topic),
      },
    });
    const operator = await instance.connect(newPerson(), 'ops');
    operator.send({ type: 'subscribe', topic: 'trips' });
    await until(() => operator.errorCodes().length === 1);
    expect(operator.errorCodes()).toEqual(['service.unavailable']);
    isUnavailable = false;
    await subscribe(operator);
  });
});

describe('a client that may not subscribe', () => {
  test.each(['rider', 'driver'] as const)(
    'such as a %s is rejected and receives no trip event',
    async (role) => {
      const instance = await start();
      const operator = await subscribe(await instance.connect(newPerson(), 'ops'));
      const socket = await instance.connect(newPerson(), role);
      socket.send({ type: 'subscribe', topic: 'trips' });
      await until(() => socket.errorCodes().length === 1);
      expect(socket.errorCodes()).toEqual(['realtime.role_forbidden']);
      await instance.bus.publish([tripEventOf('trip.requested.v1', { rider: newPerson() })]);
      await until(() => topicFrames(operator).length === 1);
      expect(topicFrames(socket)).toEqual([]);
    },
  );

  test('is rejected for an unknown topic', async () => {
    const instance = await start();
    const operator = await instance.connect(newPerson(), 'ops');
    for (const topic of ['', 'people', 'trips:1', 1, null]) operator.send({ type: 'subscribe', topic });
    await until(() => operator.errorCodes().length === 5);
    expect(new Set(operator.errorCodes())).toEqual(new Set(['realtime.frame_invalid']));
  });
});
