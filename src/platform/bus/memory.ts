import { formatTimestamp } from '@contracts/common.ts';
import type { DomainEvent, EventType } from '@contracts/events.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { problem } from '../problems.ts';
import type { Random } from '../random.ts';
import type {
  DeadLetter,
  DeadLetterScan,
  DeadLetterVerdict,
  DeadLetterVisitor,
  HandlerOutcome,
  OperableBus,
  Subscription,
} from './bus.ts';
import { scanBatchMax, scanLettersMax } from './dead-letters/limits.ts';
import { assertEvents, parseEvent } from './envelope.ts';
import { createHandlerRunner, handlerTimeoutMsDefault, type IncomingDelivery } from './handler-runner.ts';
import { defaultRetryPolicy, nextDelayMs, type RetryPolicy } from './retry-policy.ts';

export interface MemoryBusOptions {
  clock: Clock;
  random: Random;
  log: Log;
  retry?: RetryPolicy;
  handlerTimeoutMs?: number;
  /** Events that one queue holds in all; a publish beyond it rejects, as a full RabbitMQ queue does. */
  queueLengthMax?: number;
}

/** What a queue holds: text, so that no two consumers ever share an object. */
interface Message {
  text: string;
  failures: number;
  firstFailedAtMs: number | undefined;
  redrives: number;
}

interface Dead {
  letter: DeadLetter;
  message: Message;
}

interface Consumer {
  prefetch: number;
  unsettled: number;
  take(message: Message): void;
}

interface Queue {
  name: string;
  types: Set<EventType>;
  ready: Message[];
  /** Given back unhandled, in order; these go before the ready ones. */
  returned: Message[];
  /** Ready, returned, unsettled and waiting for a retry. */
  held: number;
  consumers: Consumer[];
  dead: Dead[];
  /** Ends when the walk of its dead letters does. */
  walked: Promise<unknown>;
}

const queueLengthMaxDefault = 100_000;
const deadLettersMax = 10_000;

/**
 * The bus within one process, for a laptop, tests and simulation: the meaning of the RabbitMQ one
 * (competing consumers, prefetch, retry ladder, dead letters), none of its durability. All delays go
 * by `clock`.
 */
export function createMemoryBus(options: MemoryBusOptions): OperableBus {
  const {
    clock,
    random,
    log,
    retry = defaultRetryPolicy,
    handlerTimeoutMs = handlerTimeoutMsDefault,
  } = options;
  const queueLengthMax = options.queueLengthMax ?? queueLengthMaxDefault;
  const queues = new Map<string, Queue>();
  const leaves = new Set<() => Promise<void>>();
  const closed = new AbortController();

  return {
    async publish(events) {
      assertOpen();
      assertEvents(events);
      assertRoom(events);
      for (const event of events) route(event);
    },

    async subscribe(subscription) {
      assertOpen();
      return join(declare(subscription.queue, subscription.events), subscription);
    },

    async deadLetters(name) {
      return (queues.get(name)?.dead ?? []).map(({ letter }) => structuredClone(letter));
    },

    async scanDeadLetters(name, judge) {
      assertOpen();
      const queue = queues.get(name);
      if (queue === undefined) return { total: 0, searched: 0 };
      const walking = queue.walked.then(() => walk(queue, judge));
      queue.walked = walking.catch(() => undefined);
      return walking;
    },

    async queueCounts(name) {
      assertOpen();
      const queue = queues.get(name);
      const ready = queue === undefined ? 0 : queue.ready.length + queue.returned.length;
      return { ready, dead: queue?.dead.length ?? 0 };
    },

    async ping() {
      assertOpen();
    },

    async close() {
      closed.abort();
      await Promise.all([...leaves].map((leave) => leave()));
    },
  };

  function assertOpen(): void {
    if (closed.signal.aborted) throw problem('service.unavailable', { detail: 'the bus is closed' });
  }

  function assertRoom(events: readonly DomainEvent[]): void {
    for (const queue of queues.values()) {
      const more = events.filter((event) => queue.types.has(event.type)).length;
      if (more > 0 && queue.held + more > queueLengthMax)
        throw problem('service.unavailable', { detail: `queue ${queue.name} is full`, retryAfterSeconds: 1 });
    }
  }

  function route(event: DomainEvent): void {
    const text = JSON.stringify(event);
    for (const queue of queues.values()) {
      if (!queue.types.has(event.type)) continue;
      queue.held++;
      queue.ready.push({ text, failures: 0, firstFailedAtMs: undefined, redrives: 0 });
      queueMicrotask(() => pump(queue));
    }
  }

  function declare(name: string, types: readonly EventType[]): Queue {
    const queue = queues.get(name) ?? {
      name,
      types: new Set<EventType>(),
      ready: [],
      returned: [],
      held: 0,
      consumers: [],
      dead: [],
      walked: Promise.resolve(),
    };
    queues.set(name, queue);
    for (const type of types) queue.types.add(type);
    return queue;
  }

  function join<T extends EventType>(queue: Queue, subscription: Subscription<T>): () => Promise<void> {
    const intake = createHandlerRunner({ subscription, clock, log, handlerTimeoutMs });
    const consumer: Consumer = {
      prefetch: subscription.prefetch,
      unsettled: 0,
      take(message) {
        consumer.unsettled++;
        intake.enqueue(arrivalOf(queue, consumer, message));
      },
    };
    queue.consumers.push(consumer);
    queueMicrotask(() => pump(queue));

    async function leave() {
      queue.consumers = queue.consumers.filter((other) => other !== consumer);
      await intake.stop();
      leaves.delete(leave);
      pump(queue);
    }
    leaves.add(leave);
    return leave;
  }

  /** Hands ready messages to the consumers in turn, none beyond its prefetch. */
  function pump(queue: Queue): void {
    for (;;) {
      const consumer = queue.consumers.find(({ unsettled, prefetch }) => unsettled < prefetch);
      const message = consumer && (queue.returned.shift() ?? queue.ready.shift());
      if (consumer === undefined || message === undefined) return;
      queue.consumers.splice(queue.consumers.indexOf(consumer), 1);
      queue.consumers.push(consumer);
      consumer.take(message);
    }
  }

  function arrivalOf(queue: Queue, consumer: Consumer, message: Message): IncomingDelivery {
    const reading = parseEvent(JSON.parse(message.text));
    if (reading.kind === 'broken') throw new Error(`published unchecked: ${reading.reason}`);
    const attempt = message.failures + 1;
    return {
      event: reading.event,
      attempt,
      async settle(outcome) {
        consumer.unsettled--;
        settle(queue, message, reading.event, outcome);
        pump(queue);
      },
      isStale: () => false,
      requeue() {
        consumer.unsettled--;
        queue.returned.push(message);
        queueMicrotask(() => pump(queue));
      },
    };
  }

  function settle(queue: Queue, message: Message, event: DomainEvent, outcome: HandlerOutcome): void {
    if (outcome.kind === 'done') {
      queue.held--;
      return;
    }
    message.failures++;
    message.firstFailedAtMs ??= clock.nowMs();
    if (outcome.kind === 'retry' && message.failures < retry.attemptsMax) {
      void comeAgain(queue, message);
      return;
    }
    queue.held--;
    if (queue.dead.length >= deadLettersMax) {
      log.error(
        { queue: queue.name, dropped: queue.dead[0]?.letter.id },
        'too many dead letters; the oldest goes',
      );
      queue.dead.shift();
    }
    const letter: DeadLetter = {
      queue: queue.name,
      id: event.id,
      type: event.type,
      reason: outcome.reason,
      attempts: message.failures,
      redrives: message.redrives,
      firstFailedAt: formatTimestamp(message.firstFailedAtMs),
      lastFailedAt: formatTimestamp(clock.nowMs()),
      bytes: Buffer.byteLength(message.text),
      body: event,
    };
    queue.dead.push({ letter, message });
  }

  async function walk(queue: Queue, judge: DeadLetterVisitor): Promise<DeadLetterScan> {
    const all = queue.dead.slice(0, scanLettersMax);
    const total = queue.dead.length;
    for (let searched = 0; searched < all.length; ) {
      const batch = all.slice(searched, searched + scanBatchMax);
      const { verdicts, enough } = await judge(batch.map(({ letter }) => structuredClone(letter)));
      for (const [at, dead] of batch.entries()) carryOut(queue, dead, verdicts[at] ?? 'keep');
      searched += batch.length;
      if (enough) return { total, searched };
    }
    return { total, searched: all.length };
  }

  function carryOut(queue: Queue, dead: Dead, verdict: DeadLetterVerdict): void {
    if (verdict === 'keep') return;
    if (verdict === 'redrive') {
      if (queue.held >= queueLengthMax)
        throw problem('service.unavailable', { detail: `queue ${queue.name} is full`, retryAfterSeconds: 1 });
      const { text, redrives } = dead.message;
      queue.held++;
      queue.ready.push({ text, failures: 0, firstFailedAtMs: undefined, redrives: redrives + 1 });
      queueMicrotask(() => pump(queue));
    }
    queue.dead = queue.dead.filter((other) => other !== dead);
  }

  async function comeAgain(queue: Queue, message: Message): Promise<void> {
    await clock.sleep(nextDelayMs(retry, message.failures, random), closed.signal);
    if (closed.signal.aborted) return;
    queue.ready.push(message);
    pump(queue);
  }
}
