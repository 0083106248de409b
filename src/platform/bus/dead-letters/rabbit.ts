import type { Channel, ChannelModel, GetMessage } from 'amqplib';
import type { Clock } from '../../clock.ts';
import type { Log } from '../../log.ts';
import type { DeadLetterScan, DeadLetterVerdict, DeadLetterVisitor, QueueCounts } from '../bus.ts';
import { buildRedrivenMessage, type OutgoingMessage, readDeadLetter } from '../message.ts';
import type { BrokerNames } from '../topology.ts';
import {
  scanBatchBytesMax,
  scanBatchMax,
  scanBytesMax,
  scannedDeadLettersMax,
  scanTimeoutMs,
} from './limits.ts';
import { createDeadLetterChannels } from './rabbit-channels.ts';

export interface RabbitDeadLettersDeps {
  url: string;
  names: BrokerNames;
  clock: Clock;
  log: Log;
  /** Publishes messages to their queues; rejects when that is not certain of all. */
  send(messages: readonly OutgoingMessage[]): Promise<void>;
}

const returnPauseMs = 2;
const returnTimeoutMs = 1_000;

/**
 * The dead letters of queues on RabbitMQ. Each scan has a connection of its own, for two reasons: large
 * dead letters delay no consumer, and however the scan ends, the broker returns the messages it held.
 */
export function createRabbitDeadLetters(deps: RabbitDeadLettersDeps) {
  const { names, clock, send } = deps;
  const channels = createDeadLetterChannels(deps);

  return {
    scan: (queue: string, visit: DeadLetterVisitor): Promise<DeadLetterScan> =>
      channels.withConnection(queue, async (model) => {
        const unlock = await channels.lock(model, queue);
        try {
          return await scan(model, queue, visit);
        } finally {
          await unlock();
        }
      }),

    counts: (queue: string): Promise<QueueCounts> =>
      channels.withConnection(queue, async (model) => ({
        ready: await channels.countMessages(model, names.queue(queue)),
        dead: await channels.countMessages(model, names.deadLetterQueue(queue)),
      })),
  };

  async function scan(model: ChannelModel, queue: string, visit: DeadLetterVisitor): Promise<DeadLetterScan> {
    const total = await channels.countMessages(model, names.deadLetterQueue(queue));
    if (total === 0) return { total, searched: 0 };
    const channel = await channels.openChannel(model, queue);
    const deadlineMs = clock.nowMs() + scanTimeoutMs;
    const toVisit = Math.min(total, scannedDeadLettersMax);
    const kept: GetMessage[] = [];
    let searched = 0;
    let bytes = 0;
    while (searched < toVisit && bytes < scanBytesMax && clock.nowMs() < deadlineMs) {
      const batch = await takeBatch(
        channel,
        names.deadLetterQueue(queue),
        Math.min(scanBatchMax, toVisit - searched),
      );
      if (batch.length === 0) break;
      const { verdicts, isLast } = await visit(batch.map((message) => readDeadLetter(queue, message)));
      await carryOut(channel, queue, batch, verdicts);
      const remaining = batch.filter((_, index) => (verdicts[index] ?? 'keep') === 'keep');
      kept.push(...remaining.map((message) => ({ ...message, content: emptyContent })));
      searched += batch.length;
      bytes += sumBytes(batch);
      if (isLast) break;
    }
    // The queue answers this `get` only after it has applied the acknowledgements sent before it.
    const next = await channel.get(names.deadLetterQueue(queue));
    if (next !== false) kept.push(next);
    await returnMessages(model, channel, queue, kept);
    await channel.close();
    return { total, searched };
  }

  /**
   * Returns the kept messages to the queue, in their order. For a quorum queue the broker sends on 32
   * commands of a channel, holds back later ones until those are applied, and forgets them when the
   * channel closes; the queue would then return the rest in any order, acknowledged messages included.
   * So they are returned in small steps, and each step is waited for.
   */
  async function returnMessages(
    model: ChannelModel,
    channel: Channel,
    queue: string,
    kept: readonly GetMessage[],
  ): Promise<void> {
    const countingChannel = await channels.openChannel(model, queue);
    const countReady = async () =>
      (await countingChannel.checkQueue(names.deadLetterQueue(queue))).messageCount;
    for (let start = 0; start < kept.length; start += scanBatchMax) {
      const step = kept.slice(start, start + scanBatchMax);
      const deadlineMs = clock.nowMs() + returnTimeoutMs;
      const expectedReady = (await countReady()) + step.length;
      for (const message of step) channel.nack(message, false, true);
      while ((await countReady()) < expectedReady && clock.nowMs() < deadlineMs)
        await clock.sleep(returnPauseMs);
    }
    await countingChannel.close();
  }

  /** Stores redriven messages in their queue before they are removed here: a crash in between duplicates them. */
  async function carryOut(
    channel: Channel,
    queue: string,
    batch: GetMessage[],
    verdicts: DeadLetterVerdict[],
  ): Promise<void> {
    const withVerdict = (verdict: DeadLetterVerdict) =>
      batch.filter((_, index) => verdicts[index] === verdict);
    const redriven = withVerdict('redrive');
    if (redriven.length > 0)
      await send(redriven.map((message) => buildRedrivenMessage(names.queue(queue), message)));
    for (const message of [...redriven, ...withVerdict('drop')]) channel.ack(message);
  }
}

/** Gets messages without acknowledging them, up to a number and a size. */
async function takeBatch(channel: Channel, queueName: string, countMax: number): Promise<GetMessage[]> {
  const batch: GetMessage[] = [];
  while (batch.length < countMax && sumBytes(batch) < scanBatchBytesMax) {
    const message = await channel.get(queueName);
    if (message === false) break;
    batch.push(message);
  }
  return batch;
}

const emptyContent = Buffer.alloc(0);

const sumBytes = (batch: readonly GetMessage[]) =>
  batch.reduce((sum, { content }) => sum + content.length, 0);
