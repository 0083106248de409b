import { Ticket } from '@contracts/realtime.ts';
import type { Guard } from '@platform/auth/guard.ts';
import { Elysia } from 'elysia';
import { notificationProblem } from './errors.ts';
import type { RealtimeService } from './service.ts';

/** The HTTP half of the realtime surface; the WebSocket itself is a SocketRoute beside the app. */
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
        detail: { summary: 'Get a single-use ticket for a live connection' },
      },
    )
    .get(
      '/',
      ({ set }) => {
        // Of another version too: it is told which one we speak (RFC 6455 §4.4).
        set.headers['sec-websocket-version'] = '13';
        throw notificationProblem('realtime.upgrade_needed');
      },
      {
        open: true,
        detail: {
          summary: 'Open a live connection (WebSocket): ?ticket=…',
          description: 'Frames are described in the AsyncAPI document.',
          parameters: [
            {
              name: 'ticket',
              in: 'query',
              required: true,
              description: 'Of POST /v1/realtime/ticket',
              schema: { type: 'string' },
            },
          ],
          responses: { 101: { description: 'The connection is a WebSocket now' } },
        },
      },
    );
}
