import type { DomainEvent, EventType } from '@contracts/events.ts';
import type { Bus, HandlerOutcome, Subscription } from '@platform/bus/bus.ts';
import { assertEvents, parseEvent } from '@platform/bus/envelope.ts';
import {
  createHandlerRunner,
  type HandlerRunner,
  handlerTimeoutMsDefault,
} from '@platform/bus/handler-runner.ts';
import { defaultRetryPolicy, nextDelayMs } from '@platform/bus/retry-policy.ts';
import type { Log } from '@platform/log.ts';
import { problem } from '@platform/problems.ts';
import type { Random } from '@platform/random.ts';
import type { FaultPlan } from './faults.ts';
import type { Scheduler, Scope } from './scheduler.ts';
import type { InstanceFaults } from './simulated-database.ts';

export interface SimBrokerOptions {
  scheduler: Scheduler;
  plan: FaultPlan;
  instanceFaults: InstanceFaults;
  random: Random;
  log: Log;
}

/** A copy of an event in one queue. */
interface Message {
  event: DomainEvent;
  text: string;
  failures: number;
}

interface Consumer {
  scope: Scope;
  prefetch: number;
  /** Rises when the connection is cut: what was delivered before can't be settled any more. */
  connection: number;
  isConnected: boolean;
  unsettled: Set<Message>;
  intake: HandlerRunner;
}

export interface SimQueue {
  name: string;
  types: Set<EventType>;
  ready: Message[];
  consumers: Consumer[];
  deadLetters: { id: string; type: string; reason: string }[];
  /** Copies that came in: one for each event that was routed here, and one for each duplicate. */
  storedCount: number;
  awaitingRetryCount: number;
  doneCount: number;
  /** Ids of events that came in, and of those that a consumer has acknowledged. */
  storedIds: Set<string>;
  doneIds: Set<string>;
}

export interface SimBroker {
  /** The bus as one instance sees it. */
  createBus(scope: Scope): Bus;
  /** The instance's connections break: what it has not acknowledged is delivered again. */
  disconnect(scope: Scope): void;
  reconnect(scope: Scope): void;
  queues(): readonly SimQueue[];
  /** Events whose publisher heard the confirm, by id. */
  confirmed: ReadonlyMap<string, DomainEvent>;
  /** Events that any queue or nobody took, by id: what the broker has seen. */
  received: ReadonlyMap<string, DomainEvent>;
  /** Nothing is ready, unacknowledged or waiting. */
  isQuiet(): boolean;
}

/**
 * A broker with the promises of RabbitMQ's quorum queues and confirms, and with everything that these
 * leave open: publishes that are refused, stored in part, or stored without the publisher's knowing;
 * deliveries that come twice, late or out of order; acknowledgements that never arrive.
 */
export function createSimBroker(options: SimBrokerOptions): SimBroker {
  const { scheduler, plan } = options;
  const self = scheduler.createScope('broker');
  const queues = new Map<string, SimQueue>();
  const confirmed = new Map<string, DomainEvent>();
  const received = new Map<string, DomainEvent>();
  const deliveries = createDeliveries(options, self);
  let awayUntilMs = 0;

  return {
    createBus: (scope) => ({
      publish: (events) => publish(scope, events),
      subscribe: (subscription) => subscribe(scope, subscription),
      deadLetters: async () => [],
      ping: async () => undefined,
      close: async () => undefined,
    }),
    disconnect(scope) {
      for (const queue of queues.values()) deliveries.disconnect(queue, scope);
    },
    reconnect(scope) {
      for (const queue of queues.values()) deliveries.reconnect(queue, scope);
    },
    queues: () => [...queues.values()],
    confirmed,
    received,
    isQuiet: () =>
      [...queues.values()].every(
        ({ ready, awaitingRetryCount, consumers }) =>
          ready.length === 0 &&
          awaitingRetryCount === 0 &&
          consumers.every(({ unsettled }) => unsettled.size === 0),
      ),
  };

  function publish(scope: Scope, events: readonly DomainEvent[]): Promise<void> {
    assertEvents(events);
    const where = `${scope.name}: publish ${events.map(({ type }) => type).join(' ')}`;
    return new Promise((resolve, reject) => {
      const refuse = () => reject(problem('service.unavailable', { detail: 'no confirm (simulated)' }));
      scheduler.schedule(scheduler.randomBetween(0.3, 3), scope, () => {
        if (plan.draw('bus.outage', where)) awayUntilMs = scheduler.nowMs() + outageMs;
        if (scheduler.nowMs() < awayUntilMs || plan.draw('bus.refused', where)) return refuse();
        const partly = plan.draw('bus.partial', where);
        const arrived =
          partly === undefined ? events : events.slice(0, Math.floor(partly.next() * events.length));
        scheduler.recordTrace(`${where} → ${arrived.length} stored`);
        for (const event of arrived) route(event);
        if (partly !== undefined || plan.draw('bus.confirm_lost', where)) {
          scheduler.schedule(confirmTimeoutMs, scope, refuse);
          return;
        }
        for (const event of events) confirmed.set(event.id, event);
        if (plan.draw('crash.after_confirm', where)) return options.instanceFaults.crash(scope);
        if (plan.draw('pause.after_confirm', where)) options.instanceFaults.pause(scope);
        const late = plan.draw('bus.confirm_late', where);
        scheduler.schedule(late === undefined ? 0.2 : 1_000 + late.next() * 5_000, scope, resolve);
      });
    });
  }

  function route(event: DomainEvent): void {
    const before = received.get(event.id);
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(event))
      scheduler.recordTrace(`VIOLATION event ${event.id} was published with two contents`);
    received.set(event.id, event);
    for (const queue of queues.values()) if (queue.types.has(event.type)) deliveries.store(queue, event);
  }

  async function subscribe<T extends EventType>(scope: Scope, subscription: Subscription<T>) {
    const queue = queues.get(subscription.queue) ?? newQueue(subscription.queue);
    queues.set(queue.name, queue);
    for (const type of subscription.events) queue.types.add(type);
    return deliveries.join(queue, scope, subscription);
  }
}

const outageMs = 8_000;
const confirmTimeoutMs = 1_500;

const newQueue = (name: string): SimQueue => ({
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

/** From the queues to the consumers and back. */
function createDeliveries(options: SimBrokerOptions, self: Scope) {
  const { scheduler, plan, instanceFaults, random, log } = options;

  function store(queue: SimQueue, event: DomainEvent): void {
    queue.storedCount++;
    queue.storedIds.add(event.id);
    put(queue, { event, text: JSON.stringify(event), failures: 0 });
  }

  function put(queue: SimQueue, message: Message): void {
    queue.ready.push(message);
    const late = plan.draw('bus.late', `${queue.name}: ${message.event.type}`);
    scheduler.schedule(late === undefined ? scheduler.randomBetween(0.2, 2) : late.next() * 6_000, self, () =>
      pump(queue),
    );
  }

  function pump(queue: SimQueue): void {
    const free = queue.consumers.filter(
      ({ scope, isConnected, unsettled, prefetch }) =>
        scope.state === 'live' && isConnected && unsettled.size < prefetch,
    );
    const consumer = free[Math.floor(random.next() * free.length)];
    if (consumer === undefined || queue.ready.length === 0) return;
    const where = `${queue.name} → ${consumer.scope.name}`;
    const swap = queue.ready.length > 1 ? plan.draw('bus.reorder', where) : undefined;
    const [message] = queue.ready.splice(
      swap === undefined ? 0 : Math.floor(swap.next() * queue.ready.length),
      1,
    );
    if (message === undefined) return;
    if (plan.draw('bus.duplicate', `${where}: ${message.event.type}`)) {
      queue.storedCount++;
      put(queue, { ...message });
    }
    deliver(queue, consumer, message);
    if (queue.ready.length > 0) scheduler.schedule(scheduler.randomBetween(0.1, 1), self, () => pump(queue));
  }

  function deliver(queue: SimQueue, consumer: Consumer, message: Message): void {
    const { connection } = consumer;
    const where = `${queue.name} → ${consumer.scope.name}: ${message.event.type}`;
    const reading = parseEvent(JSON.parse(message.text));
    if (reading.kind === 'invalid') throw new Error(`stored unchecked: ${reading.reason}`);
    scheduler.recordTrace(`${where} (${message.event.subject.slice(-4)}) attempt ${message.failures + 1}`);
    consumer.unsettled.add(message);
    const isStale = () => consumer.connection !== connection || consumer.scope.state === 'dead';
    consumer.intake.enqueue({
      event: reading.event,
      attempt: message.failures + 1,
      isStale,
      requeue() {
        if (isStale()) return;
        consumer.unsettled.delete(message);
        put(queue, message);
      },
      settle(outcome) {
        if (plan.draw('crash.before_ack', where)) {
          instanceFaults.crash(consumer.scope);
          return new Promise(() => undefined);
        }
        return new Promise((resolve) =>
          scheduler.schedule(scheduler.randomBetween(0.1, 1), consumer.scope, () => {
            if (!isStale() && plan.draw('bus.ack_lost', where)) {
              disconnect(queue, consumer.scope);
              reconnect(queue, consumer.scope);
            }
            if (!isStale()) settle(queue, consumer, message, outcome);
            resolve();
          }),
        );
      },
    });
  }

  function settle(queue: SimQueue, consumer: Consumer, message: Message, outcome: HandlerOutcome): void {
    consumer.unsettled.delete(message);
    scheduler.schedule(0, self, () => pump(queue));
    if (outcome.kind === 'done') {
      queue.doneCount++;
      queue.doneIds.add(message.event.id);
      return;
    }
    message.failures++;
    scheduler.recordTrace(`${queue.name}: ${message.event.type} ${outcome.kind}: ${outcome.reason}`);
    if (outcome.kind === 'retry' && message.failures < defaultRetryPolicy.attemptsMax) {
      queue.awaitingRetryCount++;
      scheduler.schedule(nextDelayMs(defaultRetryPolicy, message.failures, random), self, () => {
        queue.awaitingRetryCount--;
        put(queue, message);
      });
      return;
    }
    queue.deadLetters.push({ id: message.event.id, type: message.event.type, reason: outcome.reason });
  }

  function disconnect(queue: SimQueue, scope: Scope): void {
    for (const consumer of queue.consumers.filter((one) => one.scope === scope)) {
      consumer.connection++;
      consumer.isConnected = false;
      const returned = [...consumer.unsettled];
      consumer.unsettled.clear();
      queue.ready.unshift(...returned);
      for (const _ of returned) scheduler.schedule(scheduler.randomBetween(0.5, 5), self, () => pump(queue));
    }
    if (scope.state === 'dead') queue.consumers = queue.consumers.filter((one) => one.scope !== scope);
  }

  function reconnect(queue: SimQueue, scope: Scope): void {
    for (const consumer of queue.consumers) if (consumer.scope === scope) consumer.isConnected = true;
    scheduler.schedule(scheduler.randomBetween(0.5, 5), self, () => pump(queue));
  }

  return {
    store,
    disconnect,
    reconnect,
    async join<T extends EventType>(queue: SimQueue, scope: Scope, subscription: Subscription<T>) {
      const clock = scheduler.createClock(scope);
      const consumer: Consumer = {
        scope,
        prefetch: subscription.prefetch,
        connection: 0,
        isConnected: true,
        unsettled: new Set(),
        intake: createHandlerRunner({ subscription, clock, log, handlerTimeoutMs: handlerTimeoutMsDefault }),
      };
      queue.consumers.push(consumer);
      for (const _ of queue.ready)
        scheduler.schedule(scheduler.randomBetween(0.5, 5), self, () => pump(queue));
      return async () => disconnect(queue, scope);
    },
  };
}
