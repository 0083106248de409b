import type { PersonId } from '@contracts/ids.ts';
import type { Topic } from '@contracts/realtime.ts';
import type { Delivery, Fanout, FanoutListener, Signal, Signals } from './fanout.ts';

interface MemoryInstance {
  held: Set<PersonId>;
  followed: Set<Topic>;
  deliver(delivery: Delivery): void;
  signal(signal: Signal): void;
  broadcast(topic: Topic, text: string): void;
}

/** Where the instances of one process meet: one is enough, tests have several. */
export interface MemoryFanoutHub {
  /** Those that run, by id. */
  instances: Map<string, MemoryInstance>;
  newInstanceId(): string;
  holdersOf(personId: PersonId): string[];
}

export function createMemoryFanoutHub(): MemoryFanoutHub {
  const instances: MemoryFanoutHub['instances'] = new Map();
  let created = 0;
  return {
    instances,
    newInstanceId: () => `instance-${++created}`,
    holdersOf: (personId) => [...instances].flatMap(([id, { held }]) => (held.has(personId) ? [id] : [])),
  };
}

export const createMemorySignals = (hub: MemoryFanoutHub): Signals => ({
  async send(signals) {
    for (const signal of signals)
      for (const one of hub.instances.values()) if (one.held.has(signal.personId)) one.signal(signal);
  },
});

export function createMemoryFanout(hub: MemoryFanoutHub): Fanout {
  const instanceId = hub.newInstanceId();
  const held = new Set<PersonId>();
  let listener: FanoutListener | undefined;
  const followed = new Set<Topic>();
  const instance: MemoryInstance = {
    held,
    followed,
    deliver: (delivery) => listener?.deliver(delivery),
    signal: (signal) => listener?.signal(signal),
    broadcast: (topic, text) => listener?.broadcast(topic, text),
  };

  return {
    async publish(delivery, holders) {
      listener?.deliver(delivery);
      for (const holder of holders) if (holder !== instanceId) hub.instances.get(holder)?.deliver(delivery);
    },
    async hold(personId) {
      held.add(personId);
    },
    async release(personId) {
      held.delete(personId);
    },
    async broadcast(topic, text) {
      for (const one of hub.instances.values()) if (one.followed.has(topic)) one.broadcast(topic, text);
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
      hub.instances.set(instanceId, instance);
    },
    async stop() {
      hub.instances.delete(instanceId);
      listener = undefined;
    },
  };
}
