import { answerRequests, sendReady } from './child.ts';
import type { InstanceResponse } from './instance.ts';
import { measureSettledBytes } from './memory.ts';

/** Bun's own WebSocket server and nothing else: Bun sends the heartbeat, and a message goes to every socket. */
export type BareRequest = { kind: 'memory' } | { kind: 'publish'; text: string };

const topic = 'all';

if (import.meta.main) {
  const server = Bun.serve({
    hostname: process.env.HOST ?? '127.0.0.1',
    port: 0,
    fetch: (request, self) => (self.upgrade(request) ? undefined : new Response(null, { status: 400 })),
    websocket: {
      // Bun pings after half of this time, as often as our heartbeat.
      idleTimeout: 8,
      sendPings: true,
      open: (socket) => void socket.subscribe(topic),
      message() {},
    },
  });
  const url = `http://${server.hostname}:${server.port}`;
  answerRequests<BareRequest, InstanceResponse | number>(async (request) =>
    request.kind === 'publish'
      ? server.publish(topic, request.text)
      : { url, residentBytes: await measureSettledBytes() },
  );
  sendReady<InstanceResponse>({ url, residentBytes: 0 });
}
