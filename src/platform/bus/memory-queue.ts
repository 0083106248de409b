import type { DomainEvent, EventType } from '@contracts/events.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { problem } from '../problems.ts';
import type { Random } from '../random.ts';
import type { HandlerOutcome, QueueCounts } from './bus.ts';
import { createMemoryDeadLetters, type MemoryDeadLetters } from './dead-letters/memory.ts';
import { parseEvent } from './envelope.ts';
import type { HandlerRunner, IncomingDelivery } from './handler-runner.ts';
import type { MemoryMessage } from './memory-message.ts';
import { nextDelayMs, type RetryPolicy } from './retry-policy.ts';

export interface MemoryConsumer {
  prefetch: number;
  retry: RetryPolicy;
  runner: HandlerRunner;
}

/** A consumer with the number of deliveries that it has not settled yet. */
interface ConsumerSlot extends MemoryConsumer {
  unsettled: number;
}

export interface MemoryQueue {
  deadLetters: MemoryDeadLetters;
  bind(types: readonly EventType[]): void;
  /** Throws `service.unavailable` when the queue has no room for those events that it is bound to. */
  assertRoom(events: readonly DomainEvent[]): void;
  /** Adds the event, whose JSON is `text`, if the queue is bound to its type. */
  push(event: DomainEvent, text: string): void;
  counts(): QueueCounts;
  /** Returns a function that removes the consumer. */
  addConsumer(consumer: MemoryConsumer): () => void;
  /** Delivers ready messages as far as the prefetch of the consumers allows. */
  deliverReady(): void;
}

export interface MemoryQueueDeps {
  name: string;
  clock: Clock;
  random: Random;
  log: Log;
  lengthMax: number;
  /** Aborts when the bus is closed. */
  closed: AbortSignal;
}

/**
 * States of a message: ready → delivered → done; delivered → awaiting retry → ready; delivered → dead
 * letter; and delivered → returned (its handler never started), which is delivered before ready ones.
 */
export function createMemoryQueue(deps: MemoryQueueDeps): MemoryQueue {
  const { name, clock, random, log, lengthMax, closed } = deps;
  const types = new Set<EventType>();
  const ready: MemoryMessage[] = [];
  const returned: MemoryMessage[] = [];
  const consumers = createConsumerRotation();
  // All messages of the queue except dead letters.
  let length = 0;
  const deadLetters = createMemoryDeadLetters({ queue: name, clock, log, redrive });

  return {
    deadLetters,
    bind(added) {
      for (const type of added) types.add(type);
    },
    assertRoom(events) {
      const added = events.filter((event) => types.has(event.type)).length;
      if (added > 0) assertRoomFor(added);
    },
    push(event, text) {
      if (!types.has(event.type)) return;
      add({ text, failures: 0, firstFailedAtMs: undefined, redrives: 0 });
    },
    counts: () => ({ ready: ready.length + returned.length, dead: deadLetters.count() }),
    addConsumer(consumer) {
      const remove = consumers.add(consumer);
      queueMicrotask(deliverReady);
      return remove;
    },
    deliverReady,
  };

  function assertRoomFor(added: number): void {
    if (length + added > lengthMax)
      throw problem('service.unavailable', { detail: `queue ${name} is full`, retryAfterSeconds: 1 });
  }

  function add(message: MemoryMessage): void {
    length++;
    ready.push(message);
    queueMicrotask(deliverReady);
  }

  function redrive({ text, redrives }: MemoryMessage): void {
    assertRoomFor(1);
    add({ text, failures: 0, firstFailedAtMs: undefined, redrives: redrives + 1 });
  }

  function deliverReady(): void {
    for (;;) {
      const consumer = consumers.findFree();
      const message = consumer && (returned.shift() ?? ready.shift());
      if (consumer === undefined || message === undefined) return;
      consumers.moveToEnd(consumer);
      consumer.unsettled++;
      consumer.runner.enqueue(createDelivery(consumer, message));
    }
  }

  function createDelivery(consumer: ConsumerSlot, message: MemoryMessage): IncomingDelivery {
    const event = parseStoredEvent(message);
    return {
      event,
      attempt: message.failures + 1,
      async settle(outcome) {
        consumer.unsettled--;
        settle(message, event, outcome, consumer.retry);
        deliverReady();
      },
      isStale: () => false,
      requeue() {
        consumer.unsettled--;
        returned.push(message);
        queueMicrotask(deliverReady);
      },
    };
  }

  function settle(message: MemoryMessage, event: DomainEvent, outcome: HandlerOutcome, retry: RetryPolicy) {
    if (outcome.kind === 'done') {
      length--;
      return;
    }
    message.failures++;
    message.firstFailedAtMs ??= clock.nowMs();
    if (outcome.kind === 'retry' && message.failures < retry.attemptsMax) {
      void redeliverLater(message, retry);
      return;
    }
    length--;
    deadLetters.add(message, event, outcome.reason);
  }

  async function redeliverLater(message: MemoryMessage, retry: RetryPolicy): Promise<void> {
    await clock.sleep(nextDelayMs(retry, message.failures, random), closed);
    if (closed.aborted) return;
    ready.push(message);
    deliverReady();
  }
}

function parseStoredEvent({ text }: MemoryMessage): DomainEvent {
  const parsed = parseEvent(JSON.parse(text));
  if (parsed.kind === 'invalid') throw new Error(`an invalid event was published: ${parsed.reason}`);
  return parsed.event;
}

/** The consumers of a queue. They take turns, none beyond its prefetch. */
function createConsumerRotation() {
  let slots: ConsumerSlot[] = [];
  return {
    /** Returns a function that removes the consumer. */
    add(consumer: MemoryConsumer): () => void {
      const slot: ConsumerSlot = { ...consumer, unsettled: 0 };
      slots.push(slot);
      return () => {
        slots = slots.filter((other) => other !== slot);
      };
    },
    findFree: () => slots.find(({ unsettled, prefetch }) => unsettled < prefetch),
    moveToEnd(slot: ConsumerSlot): void {
      slots.splice(slots.indexOf(slot), 1);
      slots.push(slot);
    },
  };
}
