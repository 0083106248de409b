import type { DomainEvent, EventType } from '@contracts/events.ts';
import type { RetryPolicy } from './retry-policy.ts';

/** What a handler returns: the event is handled, shall be redelivered later, or can never be handled. */
export type HandlerOutcome =
  | { kind: 'done' }
  | { kind: 'retry'; reason: string }
  | { kind: 'reject'; reason: string };
export const done: HandlerOutcome = { kind: 'done' };

export interface EventDelivery<T extends EventType> {
  event: DomainEvent<T>;
  /** 1 on the first delivery. */
  attempt: number;
  /** Aborts when the consumer stops or the handler timeout has passed. */
  signal: AbortSignal;
}

export interface Subscription<T extends EventType> {
  /** `<context>.<purpose>`. Instances that subscribe to the same queue share its events. */
  queue: string;
  events: readonly T[];
  /** The most deliveries that this instance holds without having settled them. */
  prefetch: number;
  /** When and how often a failed event is redelivered. Default: the policy of the bus. */
  retry?: RetryPolicy;
  /** An exception counts as `retry`. */
  handle: (delivery: EventDelivery<T>) => Promise<HandlerOutcome>;
}

export interface DeadLetter {
  queue: string;
  /** The id of the event if it has a valid one, otherwise a digest in the form of a UUID. Not unique: an event can die twice. */
  id: string;
  type: string;
  reason: string;
  attempts: number;
  /** How often an operator has put this event back into its queue. */
  redrives: number;
  firstFailedAt: string;
  lastFailedAt: string;
  bytes: number;
  /** The event as it was received; text if it is not a valid event. */
  body: unknown;
}

/** What happens to a dead letter that was visited. */
export type DeadLetterVerdict = 'keep' | 'redrive' | 'drop';

/**
 * Receives the next dead letters of a scan and returns one verdict for each. With `isLast` the scan
 * ends after these verdicts are carried out.
 */
export type DeadLetterVisitor = (
  deadLetters: readonly DeadLetter[],
) => Promise<{ verdicts: DeadLetterVerdict[]; isLast: boolean }>;

export interface DeadLetterScan {
  /** Dead letters in the queue when the scan began. */
  total: number;
  /** How many of them were visited. */
  searched: number;
}

export interface QueueCounts {
  /** Events that wait to be delivered. */
  ready: number;
  /** Dead letters of the queue. */
  dead: number;
}

/**
 * Carries events between contexts.
 *
 * - Delivery is at least once: a consumer must ignore an event that it has already applied.
 * - While nothing fails, events of one subject are delivered in the order of their publishing.
 * - An event whose handler failed is redelivered after growing, jittered delays (`RetryPolicy`) and
 *   becomes a dead letter of its queue after the last attempt. Other events do not wait for it.
 * - An event that no queue subscribes to is dropped.
 */
export interface Bus {
  /**
   * Publishes the events in this order. Resolves when the broker has stored all of them durably.
   *
   * @throws `service.unavailable` when that is not known of all of them. Some may have been stored;
   *   the caller publishes all of them again.
   * @throws EventInvalidError when an event breaks its contract. Nothing was published then.
   */
  publish(events: readonly DomainEvent[]): Promise<void>;
  /**
   * Declares the queue and starts delivering; when the broker is unavailable, delivery starts once it
   * is back. Within this instance the handlers of one subject run one after another, those of
   * different subjects concurrently.
   *
   * Resolves to a function that stops the consumer: it starts no further handler and waits until the
   * deliveries being handled are settled.
   */
  subscribe<T extends EventType>(subscription: Subscription<T>): Promise<() => Promise<void>>;
  /** The dead letters of the queue, oldest first, as far as one scan reaches. They stay in the queue. */
  deadLetters(queue: string): Promise<DeadLetter[]>;
  /** Rejects while the broker cannot be reached. */
  ping(): Promise<void>;
  /** Stops all consumers, then closes the connections. */
  close(): Promise<void>;
}

/** The bus with the operations that operators need: acting upon dead letters. */
export interface OperableBus extends Bus {
  /**
   * Shows the dead letters of the queue to `visit`, oldest first, in batches, and carries out its
   * verdicts: keeps them in place, drops them, or redrives them (puts them back into the queue as new
   * events, with attempts reset and redrives counted).
   *
   * A redriven event is stored in the queue before its dead letter is removed. An interrupted scan may
   * therefore redrive an event twice, but it never loses one. A scan is bounded in letters, bytes and
   * time, and visits only what was in the queue when it began. One scan of a queue runs at a time.
   *
   * @throws `service.unavailable` when the broker is unavailable, the queue is full, or another scan
   *   of the queue does not end.
   */
  scanDeadLetters(queue: string, visit: DeadLetterVisitor): Promise<DeadLetterScan>;
  /** Zero for a queue that was never declared. */
  queueCounts(queue: string): Promise<QueueCounts>;
}
