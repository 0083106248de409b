import { Ticket } from '@contracts/realtime.ts';
import type { Guard } from '@platform/auth/guard.ts';
import { edgePolicy } from '@platform/http/edge-policy.ts';
import { Elysia } from 'elysia';
import { notificationProblem } from './errors.ts';
import type { RealtimeService } from './service.ts';

/** The HTTP routes of the realtime API. The WebSocket itself is a `SocketRoute` that the server mounts beside the app. */
export function createNotificationRoutes({ guard, service }: { guard: Guard; service: RealtimeService }) {
  return new Elysia({
    name: 'notification',
    prefix: '/v1/realtime',
    normalize: false,
    detail: { tags: ['realtime'] },
  })
    .use(guard)
    .post(
      '/ticket',
      async ({ principal, set, status }) => {
        set.headers['cache-control'] = 'no-store';
        return status(201, await service.issueTicket(principal));
      },
      {
        role: ['rider', 'driver', 'ops'],
        response: { 201: Ticket },
        detail: {
          ...edgePolicy({ limitClass: 'realtime', priority: 1, repeatability: 'never' }),
          summary: 'Create a single-use ticket for a live connection',
        },
      },
    )
    .get(
      '/',
      ({ set }) => {
        // A handshake with another version also ends here: RFC 6455 §4.4 asks for the supported version.
        set.headers['sec-websocket-version'] = '13';
        throw notificationProblem('realtime.upgrade_needed');
      },
      {
        open: true,
        detail: {
          ...edgePolicy({ limitClass: 'realtime', priority: 1, repeatability: 'always' }),
          summary: 'Open a live connection (WebSocket)',
          description: 'The frames of both directions are described in the AsyncAPI document.',
          parameters: [
            {
              name: 'ticket',
              in: 'query',
              required: true,
              description: 'A ticket from POST /v1/realtime/ticket',
              schema: { type: 'string' },
            },
          ],
          responses: { 101: { description: 'The connection is upgraded to a WebSocket' } },
        },
      },
    );
}
