import type { PersonId } from '@contracts/ids.ts';
import type { Topic } from '@contracts/realtime.ts';
import type { FrameBody } from '../live/frames.ts';

/** One event for one person, as it goes to whoever holds the person's connections. */
export interface Delivery {
  personId: PersonId;
  seq: number;
  body: FrameBody;
}

/** A frame that one person is to have now or never: no seq, not in the inbox. */
export interface TransientFrame {
  personId: PersonId;
  text: string;
}

/** Brings signals to whoever holds the people; needs no connections of its own to be used. */
export interface TransientFrames {
  send(signals: readonly TransientFrame[]): Promise<void>;
}

export interface FanoutListener {
  /** A delivery for a person that this instance holds (or held until a moment ago). */
  onDelivery(delivery: Delivery): void;
  onTransientFrame(signal: TransientFrame): void;
  /** A frame for all who listen to that topic at this instance. */
  onBroadcast(topic: Topic, text: string): void;
  /** Deliveries may have been lost: what people are owed must be read from their inboxes. */
  onMissed(): void;
}

/**
 * Brings deliveries to the instances that hold a person's connections: at most once, in any order.
 * The inbox is what makes it whole: a receiver sees a gap in the seqs and reads it there.
 */
export interface Fanout {
  /**
   * To the `holders` that the append of the event gave, and to this instance whether or not it is one.
   * Rejects when that is not known to have been sent.
   */
  publish(delivery: Delivery, holders: readonly string[]): Promise<void>;
  /** After it resolved, this instance is a holder for every event that is appended from then on. */
  addPresence(personId: PersonId): Promise<void>;
  removePresence(personId: PersonId): Promise<void>;
  /** To every instance that follows the topic, this one too. Rejects when that is not known to have been sent. */
  broadcast(topic: Topic, text: string): Promise<void>;
  /** After it resolved, what is broadcast on the topic comes to this instance too, also after a reconnect. */
  subscribe(topic: Topic): Promise<void>;
  unsubscribe(topic: Topic): Promise<void>;
  /** Says that this instance is alive and holds these people; a hold that is not renewed ends by itself. */
  renewPresence(personIds: readonly PersonId[]): Promise<void>;
  /** Called from time to time: finds a dead way of listening, and makes it anew. */
  checkSubscription(): Promise<void>;
  /** Begins to listen. Rejects while the server is away; may be called again then. */
  start(listener: FanoutListener): Promise<void>;
  stop(): Promise<void>;
}
