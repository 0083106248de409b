import { type Channel, type ChannelModel, connect } from 'amqplib';
import type { Clock } from '../../clock.ts';
import type { Log } from '../../log.ts';
import { Problem, problem } from '../../problems.ts';
import { withTimeout } from '../../with-timeout.ts';
import type { BrokerNames } from '../topology.ts';

export interface DeadLetterChannelsDeps {
  url: string;
  names: BrokerNames;
  clock: Clock;
  log: Log;
}

const connectTimeoutMs = 3_000;
const closeTimeoutMs = 2_000;
// A broker that becomes silent during a scan is detected within two to three heartbeats.
const heartbeatSeconds = 4;
const lockPauseMs = 50;
const lockTimeoutMs = 2_000;

const notFound = 404;
const resourceLocked = 405;

/** Short-lived connections and channels for work on dead letters, and the lock of a dead-letter queue. */
export function createDeadLetterChannels({ url, names, clock, log }: DeadLetterChannelsDeps) {
  const address = new URL(url);
  address.searchParams.set('heartbeat', String(heartbeatSeconds));
  return { withConnection, lock, openChannel, countMessages };

  /** Runs `work` on a connection of its own; rejects with `service.unavailable` when that is lost. */
  async function withConnection<T>(queue: string, work: (model: ChannelModel) => Promise<T>): Promise<T> {
    let model: ChannelModel | undefined;
    try {
      const clientProperties = { connection_name: `${names.exchange} dead letters` };
      model = await connect(address.href, { timeout: connectTimeoutMs, noDelay: true, clientProperties });
      const lost = Promise.withResolvers<never>();
      lost.promise.catch(() => undefined);
      model.on('error', (error) => lost.reject(error));
      model.on('close', (error) => lost.reject(error ?? new Error('the connection was closed')));
      return await Promise.race([work(model), lost.promise]);
    } catch (error) {
      throw toUnavailable(queue, error);
    } finally {
      if (model !== undefined) await close(model);
    }
  }

  /**
   * Locks the dead letters of a queue among all processes, because two scans would each see only what
   * the other does not hold. The lock is an exclusive queue: it disappears with the connection that
   * declared it, so a crash leaves no lock behind. Resolves to a function that unlocks.
   */
  async function lock(model: ChannelModel, queue: string): Promise<() => Promise<void>> {
    const name = `${names.deadLetterQueue(queue)}.walk`;
    const deadlineMs = clock.nowMs() + lockTimeoutMs;
    for (;;) {
      const channel = await openChannel(model, queue);
      try {
        await channel.assertQueue(name, { exclusive: true, durable: false });
        return async () => void (await channel.deleteQueue(name).catch(() => undefined));
      } catch (error) {
        if (codeOf(error) !== resourceLocked || clock.nowMs() > deadlineMs) throw error;
      }
      await clock.sleep(lockPauseMs);
    }
  }

  async function openChannel(model: ChannelModel, queue: string): Promise<Channel> {
    const channel = await model.createChannel();
    channel.on('error', (error) => log.debug({ queue, err: error }, 'dead-letter channel closed'));
    return channel;
  }

  /** The messages that are ready in a queue; 0 when it does not exist. */
  async function countMessages(model: ChannelModel, queueName: string): Promise<number> {
    const channel = await openChannel(model, queueName);
    try {
      const { messageCount } = await channel.checkQueue(queueName);
      await channel.close();
      return messageCount;
    } catch (error) {
      if (codeOf(error) === notFound) return 0;
      throw error;
    }
  }

  async function close(model: ChannelModel): Promise<void> {
    try {
      await withTimeout(clock, closeTimeoutMs, model.close());
    } catch (error) {
      log.debug({ err: error }, 'dead-letter connection was already closed');
    }
  }
}

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined;

function toUnavailable(queue: string, error: unknown): Problem {
  if (error instanceof Problem) return error;
  const detail =
    codeOf(error) === resourceLocked
      ? `the dead letters of ${queue} are in use by another operation`
      : 'the message broker is unavailable';
  return problem('service.unavailable', { detail, retryAfterSeconds: 1, cause: error });
}
