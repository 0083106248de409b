import type { DomainEvent, EventType } from '@contracts/events.ts';
import type { HandlerRunner } from '@platform/bus/handler-runner.ts';
import type { RetryPolicy } from '@platform/bus/retry-policy.ts';
import type { Scope } from './scheduler.ts';

/** A copy of an event in one queue. */
export interface SimMessage {
  event: DomainEvent;
  text: string;
  failures: number;
}

export interface SimConsumer {
  scope: Scope;
  prefetch: number;
  retry: RetryPolicy;
  /** Incremented when the connection is lost: earlier deliveries can no longer be settled. */
  connection: number;
  isConnected: boolean;
  unsettled: Set<SimMessage>;
  runner: HandlerRunner;
}

export interface SimQueue {
  name: string;
  types: Set<EventType>;
  ready: SimMessage[];
  consumers: SimConsumer[];
  deadLetters: { id: string; type: string; reason: string }[];
  /** Copies stored in this queue: one for each event routed here, and one for each duplicate. */
  storedCount: number;
  awaitingRetryCount: number;
  doneCount: number;
  /** Ids of the events stored here, and of those that a consumer has acknowledged. */
  storedIds: Set<string>;
  doneIds: Set<string>;
}

export const createSimQueue = (name: string): SimQueue => ({
  name,
  types: new Set(),
  ready: [],
  consumers: [],
  deadLetters: [],
  storedCount: 0,
  awaitingRetryCount: 0,
  doneCount: 0,
  storedIds: new Set(),
  doneIds: new Set(),
});

/** No message is ready, unacknowledged or awaiting a retry. */
export const isQuiet = ({ ready, awaitingRetryCount, consumers }: SimQueue): boolean =>
  ready.length === 0 && awaitingRetryCount === 0 && consumers.every(({ unsettled }) => unsettled.size === 0);
