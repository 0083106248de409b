import type { Behind, EdgeRequest } from '@platform/http/entry.ts';
import { fault } from './errors.ts';

// Made once: an error's stack would cost more than the rest.
const full = fault('edge.overloaded', { retryAfterSeconds: 1 });

/**
 * Lets at most `inFlightMax` WebSocket handshakes be in flight to `next`: each holds a connection of its own to
 * an instance, or a look-up of its ticket, and no other request may wait for those. Throws `edge.overloaded`.
 */
export function boundHandshakes<Asked extends EdgeRequest, Answer>(
  inFlightMax: number,
  next: Behind<Asked, Answer>,
): Behind<Asked, Answer> {
  let inFlight = 0;
  return (request, entry) => {
    if (!request.isHandshake) return next(request, entry);
    if (inFlight >= inFlightMax) throw full;
    inFlight++;
    return Promise.try(next, request, entry).finally(() => inFlight--);
  };
}
