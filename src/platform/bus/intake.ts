import type { DomainEvent, EventType } from '@contracts/events.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Outcome, Subscription } from './bus.ts';
import { asOneOf } from './envelope.ts';

/** A delivery as an adapter hands it in, with the two ways it may end. */
export interface Arrival {
  event: DomainEvent;
  attempt: number;
  /** Makes the outcome last. Never rejects: an adapter that can't settle lets the broker deliver again. */
  settle(outcome: Outcome): Promise<void>;
  /** Whether it can't be settled any more, since the broker delivers it again. */
  isStale(): boolean;
  /** Puts it back untouched: its handler was never called. */
  giveBack(): void;
}

export interface Intake {
  take(arrival: Arrival): void;
  /** Begins nothing new, aborts the signals, waits until what runs is settled. */
  stop(): Promise<void>;
}

export interface IntakeOptions<T extends EventType> {
  subscription: Subscription<T>;
  clock: Clock;
  log: Log;
  /** A handler that takes longer counts as failed; it may still end, so effects must be idempotent. */
  handleMsMax: number;
}

export const handleMsMaxDefault = 30_000;

/**
 * Runs the handlers of one subscription, in both adapters: arrivals of one subject one after
 * another, each settled before the next begins; different subjects side by side. How many there are
 * is bounded by the adapter's prefetch.
 */
export function createIntake<T extends EventType>(options: IntakeOptions<T>): Intake {
  const { subscription, clock, log, handleMsMax } = options;
  const lanes = new Map<string, Promise<void>>();
  const running = new Set<AbortController>();
  let stopped = false;

  return {
    take(arrival) {
      const { subject } = arrival.event;
      const before = lanes.get(subject);
      const lane = before === undefined ? run(arrival) : before.then(() => run(arrival));
      lanes.set(subject, lane);
      void lane.then(() => {
        if (lanes.get(subject) === lane) lanes.delete(subject);
      });
    },
    async stop() {
      stopped = true;
      for (const controller of running) controller.abort();
      while (lanes.size > 0) await Promise.all(lanes.values());
    },
  };

  async function run(arrival: Arrival): Promise<void> {
    if (stopped || arrival.isStale()) return arrival.giveBack();
    const outcome = await handle(arrival);
    if (outcome.kind !== 'done') {
      const { id, type, subject } = arrival.event;
      const fields = { queue: subscription.queue, event: id, type, subject, attempt: arrival.attempt };
      log.warn({ ...fields, outcome: outcome.kind, reason: outcome.reason }, 'an event was not handled');
    }
    await arrival.settle(outcome);
  }

  async function handle({ event: arrived, attempt }: Arrival): Promise<Outcome> {
    const event = asOneOf(subscription.events, arrived);
    // A newer instance asked for it on the shared queue: it will come to that one in the end.
    if (event === undefined) return { kind: 'retry', reason: 'not asked for here' };
    const controller = new AbortController();
    const ended = new AbortController();
    running.add(controller);
    try {
      return await Promise.race([
        subscription.handle({ event, attempt, signal: controller.signal }),
        clock.sleep(handleMsMax, ended.signal).then((): Outcome => {
          controller.abort();
          return { kind: 'retry', reason: `not handled within ${handleMsMax} ms` };
        }),
      ]);
    } catch (error) {
      return { kind: 'retry', reason: messageOf(error) };
    } finally {
      running.delete(controller);
      ended.abort();
    }
  }
}

const reasonLengthMax = 500;

/** What went wrong, with its causes: `insert failed: connection refused`. */
export function messageOf(error: unknown): string {
  const parts: string[] = [];
  for (let cause = error, depth = 0; cause !== undefined && depth < 4; depth++) {
    parts.push(cause instanceof Error ? cause.message : String(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return parts.join(': ').slice(0, reasonLengthMax);
}
