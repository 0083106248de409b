/**
 * The baseline: Bun by itself. It parses the same JSON and answers 204, or parses the same frames, and
 * does nothing else.
 */
const points = 0;

const server = Bun.serve({
  hostname: process.env.HOST ?? '127.0.0.1',
  port: Number(process.env.PORT ?? 0),
  reusePort: process.env.REUSE_PORT === 'yes',
  async fetch(request) {
    if (request.method === 'GET') return new Response(String(points));
    await request.json();
    return new Response(null, { status: 204 });
  },
});
process.on('SIGTERM', () => {
  server.stop(true);
  process.exit(0);
});
