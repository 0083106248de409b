import type { Channel } from 'amqplib';
import type { AckBatcher } from './ack-batcher.ts';

/**
 * One channel of a consumer. What was delivered on a channel can only be acknowledged on it; after its
 * end the broker redelivers what was not acknowledged.
 */
export interface ChannelSession {
  channel: Channel;
  acks: AckBatcher;
  consumerTag: string | undefined;
  isOver: boolean;
}
