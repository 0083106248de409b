import { type Channel, type ChannelModel, connect, type GetMessage } from 'amqplib';
import type { Clock } from '../../clock.ts';
import type { Log } from '../../log.ts';
import { Problem, problem } from '../../problems.ts';
import { withTimeout } from '../../with-timeout.ts';
import type { DeadLetterScan, DeadLetterVerdict, DeadLetterVisitor, QueueCounts } from '../bus.ts';
import { buildRedrivenMessage, type OutgoingMessage, readDeadLetter } from '../message.ts';
import type { BrokerNames } from '../topology.ts';
import { scanBatchBytesMax, scanBatchMax, scanBytesMax, scanLettersMax, scanTimeoutMs } from './limits.ts';

export interface RabbitDeadLettersOptions {
  url: string;
  names: BrokerNames;
  clock: Clock;
  log: Log;
  /** Puts messages into their queues; rejects when that is not certain of all. */
  send(messages: readonly OutgoingMessage[]): Promise<void>;
}

const connectMsMax = 3_000;
const closeMsMax = 2_000;
// A broker that fell silent in the middle of a walk is noticed within two to three of these.
const heartbeatSeconds = 4;
const lockPauseMs = 50;
const lockMsMax = 2_000;
const putBackPauseMs = 2;
const putBackMsMax = 1_000;

const notFound = 404;
const resourceLocked = 405;

/**
 * The dead letters of queues on RabbitMQ. Each walk has a connection of its own: large letters hold
 * up no consumer, and whatever ends it, the broker puts back what it held.
 */
export function createRabbitDeadLetters(options: RabbitDeadLettersOptions) {
  const { names, clock, log, send } = options;
  const address = new URL(options.url);
  address.searchParams.set('heartbeat', String(heartbeatSeconds));

  return {
    walk: (queue: string, judge: DeadLetterVisitor): Promise<DeadLetterScan> =>
      connected(queue, async (model) => {
        const unlock = await lock(model, queue);
        try {
          return await walk(model, queue, judge);
        } finally {
          await unlock();
        }
      }),

    counts: (queue: string): Promise<QueueCounts> =>
      connected(queue, async (model) => ({
        ready: await countOf(model, names.queue(queue)),
        dead: await countOf(model, names.deadLetterQueue(queue)),
      })),
  };

  async function connected<T>(queue: string, work: (model: ChannelModel) => Promise<T>): Promise<T> {
    let model: ChannelModel | undefined;
    try {
      const clientProperties = { connection_name: `${names.exchange} dead letters` };
      model = await connect(address.href, { timeout: connectMsMax, noDelay: true, clientProperties });
      const gone = Promise.withResolvers<never>();
      gone.promise.catch(() => undefined);
      model.on('error', (error) => gone.reject(error));
      model.on('close', (error) => gone.reject(error ?? new Error('the connection was closed')));
      return await Promise.race([work(model), gone.promise]);
    } catch (error) {
      throw asUnavailable(queue, error);
    } finally {
      if (model !== undefined) await close(model);
    }
  }

  /**
   * Whoever declares the exclusive queue has the lock, also among processes: two walks would each see
   * only what the other does not hold. It goes with its connection, so no crash leaves it behind.
   */
  async function lock(model: ChannelModel, queue: string): Promise<() => Promise<void>> {
    const name = `${names.deadLetterQueue(queue)}.walk`;
    const untilMs = clock.nowMs() + lockMsMax;
    for (;;) {
      const channel = await openChannel(model, queue);
      try {
        await channel.assertQueue(name, { exclusive: true, durable: false });
        return async () => void (await channel.deleteQueue(name).catch(() => undefined));
      } catch (error) {
        if (codeOf(error) !== resourceLocked || clock.nowMs() > untilMs) throw error;
      }
      await clock.sleep(lockPauseMs);
    }
  }

  async function walk(model: ChannelModel, queue: string, judge: DeadLetterVisitor): Promise<DeadLetterScan> {
    const total = await countOf(model, names.deadLetterQueue(queue));
    if (total === 0) return { total, searched: 0 };
    const channel = await openChannel(model, queue);
    const untilMs = clock.nowMs() + scanTimeoutMs;
    const reach = Math.min(total, scanLettersMax);
    const kept: GetMessage[] = [];
    let searched = 0;
    let bytes = 0;
    while (searched < reach && bytes < scanBytesMax && clock.nowMs() < untilMs) {
      const batch = await take(channel, queue, Math.min(scanBatchMax, reach - searched));
      if (batch.length === 0) break;
      const { verdicts, enough } = await judge(batch.map((message) => readDeadLetter(queue, message)));
      await carryOut(channel, queue, batch, verdicts);
      const left = batch.filter((_, at) => (verdicts[at] ?? 'keep') === 'keep');
      kept.push(...left.map((message) => ({ ...message, content: nothing })));
      searched += batch.length;
      bytes += bytesOf(batch);
      if (enough) break;
    }
    // Answered only after the queue has applied the acknowledgements before it.
    const next = await channel.get(names.deadLetterQueue(queue));
    if (next !== false) kept.push(next);
    await putBack(model, channel, queue, kept);
    await channel.close();
    return { total, searched };
  }

  /**
   * Back to where they were, in order. The broker sends on 32 commands of a channel to a quorum queue,
   * keeps later ones until those are applied, and forgets them when the channel closes: then the queue
   * gives back the rest in any order, acknowledged ones too. Hence small steps, each waited for.
   */
  async function putBack(model: ChannelModel, channel: Channel, queue: string, kept: readonly GetMessage[]) {
    const counting = await openChannel(model, queue);
    const ready = async () => (await counting.checkQueue(names.deadLetterQueue(queue))).messageCount;
    for (let at = 0; at < kept.length; at += scanBatchMax) {
      const step = kept.slice(at, at + scanBatchMax);
      const untilMs = clock.nowMs() + putBackMsMax;
      const wanted = (await ready()) + step.length;
      for (const message of step) channel.nack(message, false, true);
      while ((await ready()) < wanted && clock.nowMs() < untilMs) await clock.sleep(putBackPauseMs);
    }
    await counting.close();
  }

  async function take(channel: Channel, queue: string, countMax: number): Promise<GetMessage[]> {
    const batch: GetMessage[] = [];
    while (batch.length < countMax && bytesOf(batch) < scanBatchBytesMax) {
      const message = await channel.get(names.deadLetterQueue(queue));
      if (message === false) break;
      batch.push(message);
    }
    return batch;
  }

  /** First for good in its queue, then gone from the dead ones: in between, a crash doubles it. */
  async function carryOut(
    channel: Channel,
    queue: string,
    batch: GetMessage[],
    verdicts: DeadLetterVerdict[],
  ) {
    const judged = (verdict: DeadLetterVerdict) => batch.filter((_, at) => verdicts[at] === verdict);
    const redriven = judged('redrive');
    if (redriven.length > 0)
      await send(redriven.map((message) => buildRedrivenMessage(names.queue(queue), message)));
    for (const message of [...redriven, ...judged('drop')]) channel.ack(message);
  }

  async function close(model: ChannelModel): Promise<void> {
    try {
      await withTimeout(clock, closeMsMax, model.close());
    } catch (error) {
      log.debug({ err: error }, 'a connection for dead letters was closed already');
    }
  }

  async function countOf(model: ChannelModel, name: string): Promise<number> {
    const channel = await openChannel(model, name);
    try {
      const { messageCount } = await channel.checkQueue(name);
      await channel.close();
      return messageCount;
    } catch (error) {
      if (codeOf(error) === notFound) return 0;
      throw error;
    }
  }

  async function openChannel(model: ChannelModel, queue: string): Promise<Channel> {
    const channel = await model.createChannel();
    channel.on('error', (error) => log.debug({ queue, err: error }, 'a channel for dead letters closed'));
    return channel;
  }
}

const nothing = Buffer.alloc(0);

const bytesOf = (batch: readonly GetMessage[]) => batch.reduce((sum, { content }) => sum + content.length, 0);

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined;

function asUnavailable(queue: string, error: unknown): Problem {
  if (error instanceof Problem) return error;
  const detail =
    codeOf(error) === resourceLocked
      ? `the dead letters of ${queue} are being worked on by somebody else`
      : 'the message broker is away';
  return problem('service.unavailable', { detail, retryAfterSeconds: 1, cause: error });
}
