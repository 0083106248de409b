import type { DomainEvent, EventType } from '@contracts/events.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { EventDelivery, HandlerOutcome, Subscription } from './bus.ts';
import { asSubscribedEvent } from './envelope.ts';
import { createSemaphore } from './semaphore.ts';

/** A delivery as an adapter of the bus hands it over. It ends by `settle` or by `requeue`. */
export interface IncomingDelivery {
  event: DomainEvent;
  attempt: number;
  /** Carries out the outcome. Never rejects: when the adapter cannot settle, the broker redelivers. */
  settle(outcome: HandlerOutcome): Promise<void>;
  /** True when it can no longer be settled, because the broker redelivers it anyway. */
  isStale(): boolean;
  /** Returns it to the queue unchanged: its handler was never called. */
  requeue(): void;
}

export interface HandlerRunner {
  enqueue(delivery: IncomingDelivery): void;
  /** Starts no further handler, aborts the signals, and waits until the running handlers are settled. */
  stop(): Promise<void>;
}

export interface HandlerRunnerDeps<T extends EventType> {
  subscription: Subscription<T>;
  clock: Clock;
  log: Log;
  /** A handler that takes longer counts as failed. It may still finish, so its effects must be idempotent. */
  handlerTimeoutMs: number;
}

interface RunningHandler {
  timeoutAtMs: number;
  abort(): void;
  /** Called when the timeout has passed: the handler counts as failed. */
  expire(): void;
}

export const handlerTimeoutMsDefault = 30_000;

/**
 * Runs the handlers of one subscription; every adapter of the bus uses it. Deliveries of one subject are
 * handled one after another, each settled before the next starts. Different subjects are handled
 * concurrently, at most `prefetch` at a time. The adapter bounds how many deliveries wait here.
 */
export function createHandlerRunner<T extends EventType>(deps: HandlerRunnerDeps<T>): HandlerRunner {
  const { subscription, clock, log, handlerTimeoutMs } = deps;
  // The last delivery of each subject, as the promise of its end.
  const tailBySubject = new Map<string, Promise<void>>();
  const running = new Set<RunningHandler>();
  const semaphore = createSemaphore(subscription.prefetch);
  const stopping = new AbortController();
  const stopped = new AbortController();
  let isWatchingTimeouts = false;

  return {
    enqueue(delivery) {
      const { subject } = delivery.event;
      const previous = tailBySubject.get(subject);
      const tail = previous === undefined ? run(delivery) : previous.then(() => run(delivery));
      tailBySubject.set(subject, tail);
      void tail.then(() => {
        if (tailBySubject.get(subject) === tail) tailBySubject.delete(subject);
      });
    },
    async stop() {
      stopping.abort();
      for (const { abort } of running) abort();
      while (tailBySubject.size > 0) await Promise.all(tailBySubject.values());
      stopped.abort();
    },
  };

  async function run(delivery: IncomingDelivery): Promise<void> {
    const place = semaphore.acquire();
    if (place !== undefined) await place;
    try {
      await handleAndSettle(delivery);
    } finally {
      semaphore.release();
    }
  }

  async function handleAndSettle(delivery: IncomingDelivery): Promise<void> {
    if (stopping.signal.aborted || delivery.isStale()) return delivery.requeue();
    const outcome = await handle(delivery);
    if (outcome.kind !== 'done') {
      const { id, type, subject } = delivery.event;
      const fields = { queue: subscription.queue, event: id, type, subject, attempt: delivery.attempt };
      log.warn({ ...fields, outcome: outcome.kind, reason: outcome.reason }, 'event was not handled');
    }
    await delivery.settle(outcome);
  }

  async function handle({ event: received, attempt }: IncomingDelivery): Promise<HandlerOutcome> {
    const event = asSubscribedEvent(subscription.events, received);
    // A newer instance has bound this type to the shared queue; a retry reaches that instance in the end.
    if (event === undefined) return { kind: 'retry', reason: 'this instance does not handle the type' };
    const timedOut = Promise.withResolvers<HandlerOutcome>();
    // Created when a handler reads it: few do, and it costs more than everything else done here.
    let controller: AbortController | undefined;
    const delivery: EventDelivery<T> = {
      event,
      attempt,
      get signal() {
        controller ??= new AbortController();
        if (stopping.signal.aborted) controller.abort();
        return controller.signal;
      },
    };
    const handler: RunningHandler = {
      timeoutAtMs: clock.nowMs() + handlerTimeoutMs,
      abort: () => controller?.abort(),
      expire() {
        controller?.abort();
        timedOut.resolve({ kind: 'retry', reason: `not handled within ${handlerTimeoutMs} ms` });
      },
    };
    running.add(handler);
    if (!isWatchingTimeouts) void watchTimeouts();
    try {
      return await Promise.race([subscription.handle(delivery), timedOut.promise]);
    } catch (error) {
      return { kind: 'retry', reason: describeError(error) };
    } finally {
      running.delete(handler);
    }
  }

  /**
   * One timer for all handlers, set for the oldest: with a timer and a signal for each handler, an event
   * cost 86 µs of CPU instead of 58 µs.
   */
  async function watchTimeouts(): Promise<void> {
    isWatchingTimeouts = true;
    for (let [oldest] = running; oldest !== undefined; [oldest] = running) {
      await clock.sleep(oldest.timeoutAtMs - clock.nowMs(), stopped.signal);
      for (const handler of running) if (handler.timeoutAtMs <= clock.nowMs()) handler.expire();
    }
    isWatchingTimeouts = false;
  }
}

const reasonLengthMax = 500;

/** The message of an error with its causes: `insert failed: connection refused`. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let cause = error, depth = 0; cause !== undefined && depth < 4; depth++) {
    parts.push(cause instanceof Error ? cause.message : String(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return parts.join(': ').slice(0, reasonLengthMax);
}
