import type { DomainEvent, EventType } from '@contracts/events.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { EventDelivery, HandlerOutcome, Subscription } from './bus.ts';
import { asSubscribedEvent } from './envelope.ts';
import { createSemaphore } from './semaphore.ts';

/** A delivery as an adapter hands it in, with the two ways it may end. */
export interface IncomingDelivery {
  event: DomainEvent;
  attempt: number;
  /** Makes the outcome last. Never rejects: an adapter that can't settle lets the broker deliver again. */
  settle(outcome: HandlerOutcome): Promise<void>;
  /** Whether it can't be settled any more, since the broker delivers it again. */
  isStale(): boolean;
  /** Puts it back untouched: its handler was never called. */
  requeue(): void;
}

export interface HandlerRunner {
  enqueue(arrival: IncomingDelivery): void;
  /** Begins nothing new, aborts the signals, waits until what runs is settled. */
  stop(): Promise<void>;
}

export interface HandlerRunnerOptions<T extends EventType> {
  subscription: Subscription<T>;
  clock: Clock;
  log: Log;
  /** A handler that takes longer counts as failed; it may still end, so effects must be idempotent. */
  handlerTimeoutMs: number;
}

/** A handler that runs. */
interface Run {
  dueMs: number;
  abort(): void;
  /** Its time is up: it counts as failed. */
  expire(): void;
}

export const handlerTimeoutMsDefault = 30_000;

/**
 * Runs the handlers of one subscription, in both adapters: arrivals of one subject one after
 * another, each settled before the next begins; different subjects side by side, `prefetch` at a time.
 * How many wait for their turn is bounded by the adapter.
 */
export function createHandlerRunner<T extends EventType>(options: HandlerRunnerOptions<T>): HandlerRunner {
  const { subscription, clock, log, handlerTimeoutMs } = options;
  const lanes = new Map<string, Promise<void>>();
  const running = new Set<Run>();
  const slots = createSemaphore(subscription.prefetch);
  const stopping = new AbortController();
  const stopped = new AbortController();
  let watching = false;

  return {
    enqueue(arrival) {
      const { subject } = arrival.event;
      const before = lanes.get(subject);
      const lane = before === undefined ? run(arrival) : before.then(() => run(arrival));
      lanes.set(subject, lane);
      void lane.then(() => {
        if (lanes.get(subject) === lane) lanes.delete(subject);
      });
    },
    async stop() {
      stopping.abort();
      for (const { abort } of running) abort();
      while (lanes.size > 0) await Promise.all(lanes.values());
      stopped.abort();
    },
  };

  async function run(arrival: IncomingDelivery): Promise<void> {
    const turn = slots.acquire();
    if (turn !== undefined) await turn;
    try {
      await runNow(arrival);
    } finally {
      slots.release();
    }
  }

  async function runNow(arrival: IncomingDelivery): Promise<void> {
    if (stopping.signal.aborted || arrival.isStale()) return arrival.requeue();
    const outcome = await handle(arrival);
    if (outcome.kind !== 'done') {
      const { id, type, subject } = arrival.event;
      const fields = { queue: subscription.queue, event: id, type, subject, attempt: arrival.attempt };
      log.warn({ ...fields, outcome: outcome.kind, reason: outcome.reason }, 'an event was not handled');
    }
    await arrival.settle(outcome);
  }

  async function handle({ event: arrived, attempt }: IncomingDelivery): Promise<HandlerOutcome> {
    const event = asSubscribedEvent(subscription.events, arrived);
    // A newer instance asked for it on the shared queue: it will come to that one in the end.
    if (event === undefined) return { kind: 'retry', reason: 'not asked for here' };
    const late = Promise.withResolvers<HandlerOutcome>();
    // Made when a handler looks at it: few do, and it costs more than all else that is done here.
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
    const current: Run = {
      dueMs: clock.nowMs() + handlerTimeoutMs,
      abort: () => controller?.abort(),
      expire() {
        controller?.abort();
        late.resolve({ kind: 'retry', reason: `not handled within ${handlerTimeoutMs} ms` });
      },
    };
    running.add(current);
    if (!watching) void watch();
    try {
      return await Promise.race([subscription.handle(delivery), late.promise]);
    } catch (error) {
      return { kind: 'retry', reason: describeError(error) };
    } finally {
      running.delete(current);
    }
  }

  /** One timer for all handlers, for the oldest of them: with a timer and a signal for each, an event cost 86 µs of CPU and not 58. */
  async function watch(): Promise<void> {
    watching = true;
    for (let [oldest] = running; oldest !== undefined; [oldest] = running) {
      await clock.sleep(oldest.dueMs - clock.nowMs(), stopped.signal);
      for (const each of running) if (each.dueMs <= clock.nowMs()) each.expire();
    }
    watching = false;
  }
}

const reasonLengthMax = 500;

/** What went wrong, with its causes: `insert failed: connection refused`. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let cause = error, depth = 0; cause !== undefined && depth < 4; depth++) {
    parts.push(cause instanceof Error ? cause.message : String(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return parts.join(': ').slice(0, reasonLengthMax);
}
