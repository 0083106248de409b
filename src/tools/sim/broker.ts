import type { DomainEvent, EventType } from '@contracts/events.ts';
import type { Bus, Subscription } from '@platform/bus/bus.ts';
import { assertEvents } from '@platform/bus/envelope.ts';
import { problem } from '@platform/problems.ts';
import { createDeliveries, type DeliveriesDeps } from './deliveries.ts';
import { createSimQueue, isQuiet, type SimQueue } from './queue.ts';
import type { Scope } from './scheduler.ts';

export interface SimBroker {
  /** The bus of one instance. */
  createBus(scope: Scope): Bus;
  /** The instance loses its connections: what it has not acknowledged is redelivered. */
  disconnect(scope: Scope): void;
  reconnect(scope: Scope): void;
  queues(): readonly SimQueue[];
  /** Events that were confirmed to their publisher, by id. */
  confirmed: ReadonlyMap<string, DomainEvent>;
  /** All events that the broker has received, by id, whether or not a queue took them. */
  received: ReadonlyMap<string, DomainEvent>;
  /** No message of any queue is ready, unacknowledged or awaiting a retry. */
  isQuiet(): boolean;
}

const outageMs = 8_000;
const confirmTimeoutMs = 1_500;

/**
 * A simulated broker with the guarantees of RabbitMQ's quorum queues and confirms, and with every failure
 * that these allow: publishes that are refused, stored in part, or stored without a confirm; deliveries
 * that are duplicated, late or out of order; acknowledgements that are lost.
 */
export function createSimBroker(deps: Omit<DeliveriesDeps, 'brokerScope'>): SimBroker {
  const { scheduler, plan, instanceFaults } = deps;
  const queues = new Map<string, SimQueue>();
  const confirmed = new Map<string, DomainEvent>();
  const received = new Map<string, DomainEvent>();
  const deliveries = createDeliveries({ ...deps, brokerScope: scheduler.createScope('broker') });
  let outageUntilMs = 0;

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
    isQuiet: () => [...queues.values()].every(isQuiet),
  };

  function publish(scope: Scope, events: readonly DomainEvent[]): Promise<void> {
    assertEvents(events);
    const location = `${scope.name}: publish ${events.map(({ type }) => type).join(' ')}`;
    return new Promise((resolve, reject) => {
      const rejectPublish = () =>
        reject(problem('service.unavailable', { detail: 'no confirm (simulated)' }));
      scheduler.schedule(scheduler.randomBetween(0.3, 3), scope, () => {
        if (plan.draw('bus.outage', location)) outageUntilMs = scheduler.nowMs() + outageMs;
        if (scheduler.nowMs() < outageUntilMs || plan.draw('bus.refused', location)) return rejectPublish();
        const partial = plan.draw('bus.partial', location);
        const stored =
          partial === undefined ? events : events.slice(0, Math.floor(partial.next() * events.length));
        scheduler.recordTrace(`${location} → ${stored.length} stored`);
        for (const event of stored) route(event);
        if (partial !== undefined || plan.draw('bus.confirm_lost', location)) {
          scheduler.schedule(confirmTimeoutMs, scope, rejectPublish);
          return;
        }
        for (const event of events) confirmed.set(event.id, event);
        if (plan.draw('crash.after_confirm', location)) return instanceFaults.crash(scope);
        if (plan.draw('pause.after_confirm', location)) instanceFaults.pause(scope);
        const lateConfirm = plan.draw('bus.confirm_late', location);
        const confirmMs = lateConfirm === undefined ? 0.2 : 1_000 + lateConfirm.next() * 5_000;
        scheduler.schedule(confirmMs, scope, resolve);
      });
    });
  }

  function route(event: DomainEvent): void {
    const earlier = received.get(event.id);
    if (earlier !== undefined && JSON.stringify(earlier) !== JSON.stringify(event))
      scheduler.recordTrace(`VIOLATION event ${event.id} was published with two contents`);
    received.set(event.id, event);
    for (const queue of queues.values()) if (queue.types.has(event.type)) deliveries.store(queue, event);
  }

  async function subscribe<T extends EventType>(scope: Scope, subscription: Subscription<T>) {
    const queue = queues.get(subscription.queue) ?? createSimQueue(subscription.queue);
    queues.set(queue.name, queue);
    for (const type of subscription.events) queue.types.add(type);
    return deliveries.addConsumer(queue, scope, subscription);
  }
}
