import type { DomainEvent, EventType } from '@contracts/events.ts';

/** What a handler returns: the event is done with, is to come again later, or can never be handled. */
export type HandlerOutcome =
  | { kind: 'done' }
  | { kind: 'retry'; reason: string }
  | { kind: 'reject'; reason: string };
export const done: HandlerOutcome = { kind: 'done' };

export interface EventDelivery<T extends EventType> {
  event: DomainEvent<T>;
  /** 1 on the first delivery. */
  attempt: number;
  /** Aborts when the consumer stops or the delivery's time is up. */
  signal: AbortSignal;
}

export interface Subscription<T extends EventType> {
  /** `<context>.<purpose>`: instances that name the same queue share its events. */
  queue: string;
  events: readonly T[];
  /** Deliveries handed to this instance and not yet settled, at most. */
  prefetch: number;
  /** A throw counts as `retry`. */
  handle: (delivery: EventDelivery<T>) => Promise<HandlerOutcome>;
}

export interface DeadLetter {
  queue: string;
  /** The event's id where it carries a whole one, else a digest in the form of one: letters of one event share it. */
  id: string;
  type: string;
  reason: string;
  attempts: number;
  /** How often an operator sent it back to its queue before. */
  redrives: number;
  firstFailedAt: string;
  lastFailedAt: string;
  bytes: number;
  /** The event as it came; text when it could not be read as one. */
  body: unknown;
}

/** What becomes of a dead letter that was looked at. */
export type DeadLetterVerdict = 'keep' | 'redrive' | 'drop';

/**
 * Judges the next letters of a walk: one verdict for each. With `enough` the walk ends once these are
 * carried out.
 */
export type DeadLetterVisitor = (
  letters: readonly DeadLetter[],
) => Promise<{ verdicts: DeadLetterVerdict[]; enough: boolean }>;

export interface DeadLetterScan {
  /** Letters that were there when the walk began, and how many of them were looked at. */
  total: number;
  searched: number;
}

export interface QueueCounts {
  /** Waiting to be delivered. */
  ready: number;
  dead: number;
}

/**
 * Events between contexts. At least once, in order per subject while nothing fails; a failed event
 * waits in a ladder of growing, jittered delays, then in the queue's dead letters. Events that no
 * queue asks for are dropped.
 */
export interface Bus {
  /**
   * Resolves when the broker has every event for good, handed over in this order. Rejects with
   * `service.unavailable` when that is not known of all of them (any may have arrived: publish again),
   * and with EventInvalidError, before anything goes out, when one breaks its contract.
   */
  publish(events: readonly DomainEvent[]): Promise<void>;
  /**
   * Declares the queue, then delivers; while the broker is away, once it is back. Handlers of one
   * subject run one after another within this instance, others side by side. Resolves to the way to
   * stop, which begins nothing new and waits until what is being handled is settled.
   */
  subscribe<T extends EventType>(subscription: Subscription<T>): Promise<() => Promise<void>>;
  /** What the queue's consumers gave up on, oldest first, left where it is; as far as one walk goes. */
  deadLetters(queue: string): Promise<DeadLetter[]>;
  /** Rejects while the broker can't be reached. */
  ping(): Promise<void>;
  /** Stops all subscriptions as their own way to stop does, then the connections. */
  close(): Promise<void>;
}

/** The bus with the half that operators need: what its consumers gave up on can be acted upon. */
export interface OperableBus extends Bus {
  /**
   * Shows the dead letters of the queue to `judge`, oldest first, and does what it says: keeps them
   * where they are, drops them, or puts them back into the queue as new (attempts reset, redrives
   * counted), each there for good before it leaves the dead ones. Interrupted, it may put one back
   * twice, which consumers must stand anyway; it loses none. Bounded in letters, bytes and time, and
   * to what was there when it began; one walk of a queue at a time. Rejects with `service.unavailable`
   * when the broker is away, the queue is full, or another walk does not end.
   */
  scanDeadLetters(queue: string, judge: DeadLetterVisitor): Promise<DeadLetterScan>;
  /** Zero for a queue that was never declared. */
  queueCounts(queue: string): Promise<QueueCounts>;
}
