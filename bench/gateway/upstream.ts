import { trip } from './trip.ts';

/**
 * The service behind the proxies: Bun by itself. It reads the body and answers with a trip; and as the
 * user service it tells the key set, and that nobody has logged out.
 */
const body = JSON.stringify(trip);
const json = { 'content-type': 'application/json' };
const keySet = process.env.KEY_SET ?? '';

const server = Bun.serve({
  hostname: process.env.HOST ?? '127.0.0.1',
  port: Number(process.env.PORT ?? 0),
  idleTimeout: 75,
  routes: {
    '/readyz': () => new Response('{}'),
    '/.well-known/jwks.json': () => new Response(keySet, { headers: json }),
    '/internal/user/revocations': () =>
      Response.json({
        sessions: [],
        more: false,
        asOfMs: Math.floor(performance.timeOrigin + performance.now()),
        keepMs: 900_000,
        endedKeyIds: [],
      }),
  },
  async fetch(request) {
    if (request.method === 'GET') return new Response(body, { headers: json });
    await request.json();
    return new Response(body, { status: 201, headers: json });
  },
});
process.on('SIGTERM', () => {
  server.stop(true);
  process.exit(0);
});
