import type { EdgeRequest } from '@platform/http/edge-request.ts';
import { gatewayProblem } from '../errors.ts';
import type { EdgeNext } from '../ports.ts';

// Created once, because the stack of an error would cost more than the rest.
const overloaded = gatewayProblem('edge.overloaded', { retryAfterSeconds: 1 });

/**
 * Limits the WebSocket handshakes in flight to `next`. Each holds a connection to an instance or a look-up of its
 * ticket, and other requests must not wait for those. Throws `edge.overloaded`.
 */
export function limitHandshakes<Incoming extends EdgeRequest, Outgoing>(
  inFlightMax: number,
  next: EdgeNext<Incoming, Outgoing>,
): EdgeNext<Incoming, Outgoing> {
  let inFlight = 0;
  return (request, info) => {
    if (!request.isHandshake) return next(request, info);
    if (inFlight >= inFlightMax) throw overloaded;
    inFlight++;
    return Promise.try(next, request, info).finally(() => inFlight--);
  };
}
