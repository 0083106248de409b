import type { PersonId } from '@contracts/ids.ts';
import type { Topic } from '@contracts/realtime.ts';
import type { FrameBody } from '../live/frames.ts';

/** One event for one person, as it is sent to the instances that hold connections of this person. */
export interface Delivery {
  personId: PersonId;
  seq: number;
  body: FrameBody;
}

/** A frame that is delivered to a connected person or dropped. It has no seq and is not in the inbox. */
export interface TransientFrame {
  personId: PersonId;
  text: string;
}

/** Sends transient frames to the instances that hold the people's connections. Callers need no connections of their own. */
export interface TransientFrames {
  send(frames: readonly TransientFrame[]): Promise<void>;
}

export interface FanoutListener {
  /** A delivery for a person who is connected to this instance, or was until a moment ago. */
  onDelivery(delivery: Delivery): void;
  onTransientFrame(frame: TransientFrame): void;
  /** A frame for every connection of this instance that is subscribed to the topic. */
  onBroadcast(topic: Topic, text: string): void;
  /** Deliveries may have been lost, so the inboxes of connected people must be checked. */
  onMissed(): void;
}

/**
 * Sends deliveries to the instances that hold a person's connections: at most once, in any order.
 * The inbox makes delivery complete: a receiver that sees a gap in the seqs reads the missing events there.
 */
export interface Fanout {
  /**
   * Sends to the instances that the append of the event returned, and always to this instance as well.
   * Rejects if it is unknown whether the delivery was sent.
   */
  publish(delivery: Delivery, instanceIds: readonly string[]): Promise<void>;
  /** Once this resolves, every later append returns this instance for the person. */
  addPresence(personId: PersonId): Promise<void>;
  removePresence(personId: PersonId): Promise<void>;
  /** Sends to every instance that is subscribed to the topic, this one included. Rejects if it is unknown whether it was sent. */
  broadcast(topic: Topic, text: string): Promise<void>;
  /** Once this resolves, broadcasts on the topic reach this instance, also after a reconnect. */
  subscribe(topic: Topic): Promise<void>;
  unsubscribe(topic: Topic): Promise<void>;
  /** Renews the presence of these people at this instance. Presence that is not renewed expires. */
  renewPresence(personIds: readonly PersonId[]): Promise<void>;
  /** Called periodically: detects a dead subscription and replaces it. */
  checkSubscription(): Promise<void>;
  /** Starts listening. Rejects while the server is unavailable and may then be called again. */
  start(listener: FanoutListener): Promise<void>;
  stop(): Promise<void>;
}
