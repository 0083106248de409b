/**
 * The baseline: Bun alone. It parses the same JSON and answers 204, or parses the same frames and counts their
 * points; it does nothing else.
 */
let points = 0;

const server = Bun.serve({
  hostname: process.env.HOST ?? '127.0.0.1',
  port: Number(process.env.PORT ?? 0),
  reusePort: process.env.REUSE_PORT === 'yes',
  async fetch(request, self) {
    if (request.method === 'PUT') {
      await request.json();
      return new Response(null, { status: 204 });
    }
    if (self.upgrade(request)) return undefined;
    return new Response(`positions_accepted_total ${points}\n`);
  },
  websocket: {
    message(_, text) {
      const frame = JSON.parse(String(text));
      points += frame.type === 'locations' ? frame.points.length : 1;
    },
  },
});
process.on('SIGTERM', () => {
  server.stop(true);
  process.exit(0);
});
