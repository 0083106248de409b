import type { PersonId } from '@contracts/ids.ts';
import type { Topic } from '@contracts/realtime.ts';
import type { Delivery, Fanout, FanoutListener, TransientFrame, TransientFrames } from './fanout.ts';

interface MemoryInstance {
  held: Set<PersonId>;
  followed: Set<Topic>;
  deliver(delivery: Delivery): void;
  signal(signal: TransientFrame): void;
  broadcast(topic: Topic, text: string): void;
}

/** Where the instances of one process meet: one is enough, tests have several. */
export interface MemoryFanoutHub {
  /** Those that run, by id. */
  instances: Map<string, MemoryInstance>;
  newInstanceId(): string;
  instancesOf(personId: PersonId): string[];
}

export function createMemoryFanoutHub(): MemoryFanoutHub {
  const instances: MemoryFanoutHub['instances'] = new Map();
  let created = 0;
  return {
    instances,
    newInstanceId: () => `instance-${++created}`,
    instancesOf: (personId) => [...instances].flatMap(([id, { held }]) => (held.has(personId) ? [id] : [])),
  };
}

export const createMemoryTransientFrames = (hub: MemoryFanoutHub): TransientFrames => ({
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
    deliver: (delivery) => listener?.onDelivery(delivery),
    signal: (signal) => listener?.onTransientFrame(signal),
    broadcast: (topic, text) => listener?.onBroadcast(topic, text),
  };

  return {
    async publish(delivery, holders) {
      listener?.onDelivery(delivery);
      for (const holder of holders) if (holder !== instanceId) hub.instances.get(holder)?.deliver(delivery);
    },
    async addPresence(personId) {
      held.add(personId);
    },
    async removePresence(personId) {
      held.delete(personId);
    },
    async broadcast(topic, text) {
      for (const one of hub.instances.values()) if (one.followed.has(topic)) one.broadcast(topic, text);
    },
    async subscribe(topic) {
      followed.add(topic);
    },
    async unsubscribe(topic) {
      followed.delete(topic);
    },
    async renewPresence(personIds) {
      for (const personId of personIds) held.add(personId);
    },
    async checkSubscription() {},
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
