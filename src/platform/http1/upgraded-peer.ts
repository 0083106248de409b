import type { Socket } from 'bun';
import type { BodyFlow } from './incoming-body.ts';
import { discardReply } from './reply.ts';
import type { Http1Answer, UpgradedPeer } from './server.ts';
import type { SocketWriter } from './socket-writer.ts';

/** A connection as another protocol uses it. */
export const createUpgradedPeer = (
  socket: Pick<Socket<unknown>, 'write' | 'end'>,
  out: SocketWriter,
  flow: Pick<BodyFlow, 'pause' | 'resume'>,
): UpgradedPeer => ({
  write: (bytes) => (out.isDrained() ? socket.write(bytes) : 0),
  pause: () => flow.pause(),
  resume: () => flow.resume(),
  end: () => void socket.end(),
});

/** Ends what belongs to an answer that comes too late to be sent. */
export function discardAnswer(answer: Http1Answer): void {
  if ('start' in answer) answer.abandon();
  else discardReply(answer);
}
