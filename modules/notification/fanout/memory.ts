import type { PersonId } from '@contracts/ids.ts';
import type { Topic } from '@contracts/realtime.ts';
import type { Delivery, Fanout, FanoutListener, TransientFrame, TransientFrames } from './fanout.ts';

interface MemoryInstance {
  presentPersonIds: Set<PersonId>;
  subscribedTopics: Set<Topic>;
  deliver(delivery: Delivery): void;
  sendTransient(sendTransient: TransientFrame): void;
  broadcast(topic: Topic, text: string): void;
}

/** Connects the instances within one process. Tests start several. */
export interface MemoryFanoutHub {
  /** Running instances by id. */
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
    instancesOf: (personId) =>
      [...instances].flatMap(([id, { presentPersonIds }]) => (presentPersonIds.has(personId) ? [id] : [])),
  };
}

export const createMemoryTransientFrames = (hub: MemoryFanoutHub): TransientFrames => ({
  async send(frames) {
    for (const sendTransient of frames)
      for (const other of hub.instances.values())
        if (other.presentPersonIds.has(sendTransient.personId)) other.sendTransient(sendTransient);
  },
});

export function createMemoryFanout(hub: MemoryFanoutHub): Fanout {
  const instanceId = hub.newInstanceId();
  const presentPersonIds = new Set<PersonId>();
  let listener: FanoutListener | undefined;
  const subscribedTopics = new Set<Topic>();
  const instance: MemoryInstance = {
    presentPersonIds,
    subscribedTopics,
    deliver: (delivery) => listener?.onDelivery(delivery),
    sendTransient: (sendTransient) => listener?.onTransientFrame(sendTransient),
    broadcast: (topic, text) => listener?.onBroadcast(topic, text),
  };

  return {
    async publish(delivery, instanceIds) {
      listener?.onDelivery(delivery);
      for (const target of instanceIds)
        if (target !== instanceId) hub.instances.get(target)?.deliver(delivery);
    },
    async addPresence(personId) {
      presentPersonIds.add(personId);
    },
    async removePresence(personId) {
      presentPersonIds.delete(personId);
    },
    async broadcast(topic, text) {
      for (const other of hub.instances.values())
        if (other.subscribedTopics.has(topic)) other.broadcast(topic, text);
    },
    async subscribe(topic) {
      subscribedTopics.add(topic);
    },
    async unsubscribe(topic) {
      subscribedTopics.delete(topic);
    },
    async renewPresence(personIds) {
      for (const personId of personIds) presentPersonIds.add(personId);
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
