import type { PersonId } from '@contracts/ids.ts';
import type { Topic } from '@contracts/realtime.ts';
import type { Delivery, Fanout, FanoutListener, Signal, Signals } from './fanout.ts';

/** Where the instances of one process meet: one is enough, tests have several. */
export interface MemoryFanoutHub {
  instances: Set<{
    held: Set<PersonId>;
    followed: Set<Topic>;
    deliver(delivery: Delivery): void;
    signal(signal: Signal): void;
    broadcast(topic: Topic, text: string): void;
  }>;
}
export const createMemoryFanoutHub = (): MemoryFanoutHub => ({ instances: new Set() });

export const createMemorySignals = (hub: MemoryFanoutHub): Signals => ({
  async send(signals) {
    for (const signal of signals)
      for (const one of hub.instances) if (one.held.has(signal.personId)) one.signal(signal);
  },
});

export function createMemoryFanout(hub: MemoryFanoutHub = createMemoryFanoutHub()): Fanout {
  const held = new Set<PersonId>();
  let listener: FanoutListener | undefined;
  const followed = new Set<Topic>();
  const instance = {
    held,
    followed,
    deliver: (delivery: Delivery) => listener?.deliver(delivery),
    signal: (signal: Signal) => listener?.signal(signal),
    broadcast: (topic: Topic, text: string) => listener?.broadcast(topic, text),
  };

  return {
    async publish(delivery) {
      for (const one of hub.instances) if (one.held.has(delivery.personId)) one.deliver(delivery);
    },
    async hold(personId) {
      held.add(personId);
    },
    async release(personId) {
      held.delete(personId);
    },
    async broadcast(topic, text) {
      for (const one of hub.instances) if (one.followed.has(topic)) one.broadcast(topic, text);
    },
    async follow(topic) {
      followed.add(topic);
    },
    async unfollow(topic) {
      followed.delete(topic);
    },
    async renew(personIds) {
      for (const personId of personIds) held.add(personId);
    },
    async check() {},
    async start(to) {
      listener = to;
      hub.instances.add(instance);
    },
    async stop() {
      hub.instances.delete(instance);
      listener = undefined;
    },
  };
}
