import { expect, test } from 'bun:test';
import type { Channel, ConsumeMessage } from 'amqplib';
import { createAckBatcher } from './ack-batcher.ts';

function createTestAcks(options: { isChannelClosed?: boolean } = {}) {
  const sent: string[] = [];
  const failures: unknown[] = [];
  const channel: Partial<Channel> = {
    ack(message, allUpTo = false) {
      if (options.isChannelClosed) throw new Error('the channel is closed');
      sent.push(`${message.fields.deliveryTag}${allUpTo ? ' and all before' : ''}`);
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

test('deliveries settled in one turn without a gap are acknowledged by one frame', async () => {
  const { settle, sent } = createTestAcks();
  settle(1, 2, 3);
  expect(sent).toEqual([]);
  await nextTurn();
  expect(sent).toEqual(['3 and all before']);
});

test('a delivery that is still being handled is never acknowledged with others', async () => {
  const { settle, sent } = createTestAcks();
  settle(1, 3, 4);
  await nextTurn();
  expect(sent).toEqual(['1 and all before', '3', '4']);
  settle(2);
  await nextTurn();
  expect(sent.slice(3)).toEqual(['2 and all before']);
  settle(5);
  await nextTurn();
  expect(sent.slice(4)).toEqual(['5 and all before']);
});

test('flush sends the acknowledgements at once, and nothing is sent again at the end of the turn', async () => {
  const { acks, settle, sent } = createTestAcks();
  settle(1);
  acks.flush();
  expect(sent).toEqual(['1 and all before']);
  await nextTurn();
  acks.flush();
  expect(sent.length).toBe(1);
});

test('an acknowledgement on a closed channel calls onError and does not throw', async () => {
  const { settle, failures } = createTestAcks({ isChannelClosed: true });
  settle(2);
  await nextTurn();
  expect(failures.length).toBe(1);
});
