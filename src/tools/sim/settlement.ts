import type { HandlerOutcome } from '@platform/bus/bus.ts';
import { parseEvent } from '@platform/bus/envelope.ts';
import type { IncomingDelivery } from '@platform/bus/handler-runner.ts';
import { nextDelayMs } from '@platform/bus/retry-policy.ts';
import type { Random } from '@platform/random.ts';
import type { FaultPlan } from './faults.ts';
import type { SimConsumer, SimMessage, SimQueue } from './queue.ts';
import type { Scheduler, Scope } from './scheduler.ts';
import type { InstanceFaults } from './simulated-database.ts';

export interface SettlementDeps {
  scheduler: Scheduler;
  plan: FaultPlan;
  instanceFaults: InstanceFaults;
  random: Random;
  brokerScope: Scope;
  enqueue(queue: SimQueue, message: SimMessage): void;
  deliverNext(queue: SimQueue): void;
  loseConnection(queue: SimQueue, scope: Scope): void;
}

/** Delivers messages to consumers and carries out the outcomes of their handlers, with faults in between. */
export function createSettlement(deps: SettlementDeps) {
  const { scheduler, plan, instanceFaults, random, brokerScope, enqueue, deliverNext, loseConnection } = deps;
  return { createDelivery };

  function createDelivery(queue: SimQueue, consumer: SimConsumer, message: SimMessage): IncomingDelivery {
    const { connection, scope } = consumer;
    const location = `${queue.name} → ${scope.name}: ${message.event.type}`;
    const parsed = parseEvent(JSON.parse(message.text));
    if (parsed.kind === 'invalid') throw new Error(`an invalid event was stored: ${parsed.reason}`);
    scheduler.recordTrace(`${location} (${message.event.subject.slice(-4)}) attempt ${message.failures + 1}`);
    consumer.unsettled.add(message);
    const isStale = () => consumer.connection !== connection || scope.state === 'dead';
    return {
      event: parsed.event,
      attempt: message.failures + 1,
      isStale,
      requeue() {
        if (isStale()) return;
        consumer.unsettled.delete(message);
        enqueue(queue, message);
      },
      settle(outcome) {
        if (plan.draw('crash.before_ack', location)) {
          instanceFaults.crash(scope);
          return new Promise(() => undefined);
        }
        return new Promise((resolve) =>
          scheduler.schedule(scheduler.randomBetween(0.1, 1), scope, () => {
            if (!isStale() && plan.draw('bus.ack_lost', location)) loseConnection(queue, scope);
            if (!isStale()) settle(queue, consumer, message, outcome);
            resolve();
          }),
        );
      },
    };
  }

  function settle(
    queue: SimQueue,
    consumer: SimConsumer,
    message: SimMessage,
    outcome: HandlerOutcome,
  ): void {
    const { id, type } = message.event;
    consumer.unsettled.delete(message);
    scheduler.schedule(0, brokerScope, () => deliverNext(queue));
    if (outcome.kind === 'done') {
      queue.doneCount++;
      queue.doneIds.add(id);
      return;
    }
    message.failures++;
    scheduler.recordTrace(`${queue.name}: ${type} ${outcome.kind}: ${outcome.reason}`);
    if (outcome.kind === 'retry' && message.failures < consumer.retry.attemptsMax) {
      queue.awaitingRetryCount++;
      scheduler.schedule(nextDelayMs(consumer.retry, message.failures, random), brokerScope, () => {
        queue.awaitingRetryCount--;
        enqueue(queue, message);
      });
      return;
    }
    queue.deadLetters.push({ id, type, reason: outcome.reason });
  }
}
