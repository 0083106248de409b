import type { DomainEvent, EventType } from '@contracts/events.ts';
import type { Subscription } from '@platform/bus/bus.ts';
import { createHandlerRunner, handlerTimeoutMsDefault } from '@platform/bus/handler-runner.ts';
import { defaultRetryPolicy } from '@platform/bus/retry-policy.ts';
import type { Log } from '@platform/log.ts';
import type { Random } from '@platform/random.ts';
import type { FaultPlan } from './faults.ts';
import type { SimConsumer, SimMessage, SimQueue } from './queue.ts';
import type { Scheduler, Scope } from './scheduler.ts';
import { createSettlement } from './settlement.ts';
import type { InstanceFaults } from './simulated-database.ts';

export interface DeliveriesDeps {
  scheduler: Scheduler;
  plan: FaultPlan;
  instanceFaults: InstanceFaults;
  random: Random;
  log: Log;
  brokerScope: Scope;
}

/** The way of messages from the queues of the simulated broker to its consumers and back. */
export function createDeliveries(deps: DeliveriesDeps) {
  const { scheduler, plan, random, log, brokerScope } = deps;
  const settlement = createSettlement({ ...deps, enqueue, deliverNext, loseConnection });

  return { store, disconnect, reconnect, addConsumer };

  function store(queue: SimQueue, event: DomainEvent): void {
    queue.storedCount++;
    queue.storedIds.add(event.id);
    enqueue(queue, { event, text: JSON.stringify(event), failures: 0 });
  }

  function enqueue(queue: SimQueue, message: SimMessage): void {
    queue.ready.push(message);
    const delay = plan.draw('bus.late', `${queue.name}: ${message.event.type}`);
    const delayMs = delay === undefined ? scheduler.randomBetween(0.2, 2) : delay.next() * 6_000;
    scheduler.schedule(delayMs, brokerScope, () => deliverNext(queue));
  }

  /** Delivers one ready message to a consumer that has room. */
  function deliverNext(queue: SimQueue): void {
    const freeConsumers = queue.consumers.filter(
      ({ scope, isConnected, unsettled, prefetch }) =>
        scope.state === 'live' && isConnected && unsettled.size < prefetch,
    );
    const consumer = freeConsumers[Math.floor(random.next() * freeConsumers.length)];
    if (consumer === undefined || queue.ready.length === 0) return;
    const location = `${queue.name} → ${consumer.scope.name}`;
    const reorder = queue.ready.length > 1 ? plan.draw('bus.reorder', location) : undefined;
    const index = reorder === undefined ? 0 : Math.floor(reorder.next() * queue.ready.length);
    const [message] = queue.ready.splice(index, 1);
    if (message === undefined) return;
    if (plan.draw('bus.duplicate', `${location}: ${message.event.type}`)) {
      queue.storedCount++;
      enqueue(queue, { ...message });
    }
    consumer.runner.enqueue(settlement.createDelivery(queue, consumer, message));
    if (queue.ready.length > 0) deliverSoon(queue, scheduler.randomBetween(0.1, 1));
  }

  function deliverSoon(queue: SimQueue, delayMs: number): void {
    scheduler.schedule(delayMs, brokerScope, () => deliverNext(queue));
  }

  function disconnect(queue: SimQueue, scope: Scope): void {
    for (const consumer of queue.consumers.filter((other) => other.scope === scope)) {
      consumer.connection++;
      consumer.isConnected = false;
      const returned = [...consumer.unsettled];
      consumer.unsettled.clear();
      queue.ready.unshift(...returned);
      for (const _ of returned) deliverSoon(queue, scheduler.randomBetween(0.5, 5));
    }
    if (scope.state === 'dead') queue.consumers = queue.consumers.filter((other) => other.scope !== scope);
  }

  function reconnect(queue: SimQueue, scope: Scope): void {
    for (const consumer of queue.consumers) if (consumer.scope === scope) consumer.isConnected = true;
    deliverSoon(queue, scheduler.randomBetween(0.5, 5));
  }

  function loseConnection(queue: SimQueue, scope: Scope): void {
    disconnect(queue, scope);
    reconnect(queue, scope);
  }

  async function addConsumer<T extends EventType>(
    queue: SimQueue,
    scope: Scope,
    subscription: Subscription<T>,
  ): Promise<() => Promise<void>> {
    const clock = scheduler.createClock(scope);
    const consumer: SimConsumer = {
      scope,
      prefetch: subscription.prefetch,
      retry: subscription.retry ?? defaultRetryPolicy,
      connection: 0,
      isConnected: true,
      unsettled: new Set(),
      runner: createHandlerRunner({ subscription, clock, log, handlerTimeoutMs: handlerTimeoutMsDefault }),
    };
    queue.consumers.push(consumer);
    for (const _ of queue.ready) deliverSoon(queue, scheduler.randomBetween(0.5, 5));
    return async () => disconnect(queue, scope);
  }
}
