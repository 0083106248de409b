import { expect, test } from 'bun:test';
import type { Channel, ConsumeMessage } from 'amqplib';
import { createAckBatcher } from './ack-batcher.ts';

function made(broken = false) {
  const sent: string[] = [];
  const failures: unknown[] = [];
  const channel: Partial<Channel> = {
    ack(message, allUpTo = false) {
      if (broken) throw new Error('the channel is closed');
      sent.push(`${message.fields.deliveryTag}${allUpTo ? ' and before' : ''}`);
    },
  };
  const acks = createAckBatcher(channel as Channel, (error) => failures.push(error));
  const messages = [1, 2, 3, 4, 5].map((deliveryTag) => ({ fields: { deliveryTag } }) as ConsumeMessage);
  for (const message of messages) acks.track(message);
  const settle = (...tags: number[]) => {
    for (const message of messages) if (tags.includes(message.fields.deliveryTag)) acks.acknowledge(message);
  };
  return { acks, settle, sent, failures };
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

test('what is settled in one turn without a gap is one acknowledgement', async () => {
  const { settle, sent } = made();
  settle(1, 2, 3);
  expect(sent).toEqual([]);
  await nextTurn();
  expect(sent).toEqual(['3 and before']);
});

test('nothing that is still being handled is ever acknowledged with the others', async () => {
  const { settle, sent } = made();
  settle(1, 3, 4);
  await nextTurn();
  expect(sent).toEqual(['1 and before', '3', '4']);
  settle(2);
  await nextTurn();
  expect(sent.slice(3)).toEqual(['2 and before']);
  settle(5);
  await nextTurn();
  expect(sent.slice(4)).toEqual(['5 and before']);
});

test('a flush sends at once, and the end of the turn nothing more', async () => {
  const { acks, settle, sent } = made();
  settle(1);
  acks.flush();
  expect(sent).toEqual(['1 and before']);
  await nextTurn();
  acks.flush();
  expect(sent.length).toBe(1);
});

test('a channel that is gone is told of, not thrown', async () => {
  const { settle, failures } = made(true);
  settle(2);
  await nextTurn();
  expect(failures.length).toBe(1);
});
