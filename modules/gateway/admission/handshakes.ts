import type { EdgeRequest } from '@platform/http/edge-request.ts';
import type { EdgeNext } from '../edge/request-info.ts';
import { fault } from '../errors.ts';

// Made once: an error's stack would cost more than the rest.
const full = fault('edge.overloaded', { retryAfterSeconds: 1 });

/**
 * Lets at most `inFlightMax` WebSocket handshakes be in flight to `next`: each holds a connection of its own to
 * an instance, or a look-up of its ticket, and no other request may wait for those. Throws `edge.overloaded`.
 */
export function limitHandshakes<Asked extends EdgeRequest, Answer>(
  inFlightMax: number,
  next: EdgeNext<Asked, Answer>,
): EdgeNext<Asked, Answer> {
  let inFlight = 0;
  return (request, entry) => {
    if (!request.isHandshake) return next(request, entry);
    if (inFlight >= inFlightMax) throw full;
    inFlight++;
    return Promise.try(next, request, entry).finally(() => inFlight--);
  };
}
