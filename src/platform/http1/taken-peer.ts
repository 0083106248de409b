import type { Socket } from 'bun';
import type { BodyFlow } from './incoming-body.ts';
import type { Outlet } from './outlet.ts';
import { discard } from './reply.ts';
import type { Answer, TakenPeer } from './server.ts';

/** A connection as another protocol uses it. */
export const takenPeer = (
  socket: Pick<Socket<unknown>, 'write' | 'end'>,
  out: Outlet,
  flow: Pick<BodyFlow, 'pause' | 'resume'>,
): TakenPeer => ({
  write: (bytes) => (out.isClear() ? socket.write(bytes) : 0),
  pause: () => flow.pause(),
  resume: () => flow.resume(),
  end: () => void socket.end(),
});

/** Ends what belongs to an answer that comes too late to be sent. */
export function abandon(answer: Answer): void {
  if ('start' in answer) answer.abandon();
  else discard(answer);
}
