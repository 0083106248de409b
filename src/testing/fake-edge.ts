import { type Clock, systemClock } from '@platform/clock.ts';
import { createFakeRoutes } from './fake-edge/routes.ts';
import { createFakeTrips } from './fake-edge/trips.ts';
import { createFakeWorld, type FakeSocket, firstSeq, type Json, problemAnswer } from './fake-edge/world.ts';

export { type Json, problemAnswer };

/**
 * A server for tests that implements the public API correctly, in memory: it matches and captures at once, and keeps
 * inboxes. With `corruptResponse` a test breaks one promise of the API, with `overrideResponse` it rejects requests.
 */
export interface FakeEdge {
  url: string;
  /** How many requests each route received. */
  requests: Map<string, number>;
  openSocketCount(): number;
  onlineDriverCount(): number;
  closeSockets(code: number): void;
  stop(): Promise<void>;
}

export interface FakeEdgeOptions {
  /** A response instead of the correct one. */
  overrideResponse?: (route: string, nth: number) => Response | undefined;
  /** Changes a correct response of `route` before it is sent. */
  corruptResponse?: (route: string, body: Json, nth: number) => Json;
  /** Whether an event is neither pushed nor kept; its seq is used up all the same. */
  shouldDropEvent?: (event: string, nth: number) => boolean;
  /** Trips and payments are visible to everybody. */
  isEverythingVisible?: boolean;
  clock?: Clock;
  offerMs?: number;
}

const routeOf = (method: string, path: string) =>
  `${method} ${path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, ':id')}`;

export function createFakeEdge(options: FakeEdgeOptions = {}): FakeEdge {
  const { clock = systemClock, offerMs = 15_000, shouldDropEvent } = options;
  const stopped = new AbortController();
  const world = createFakeWorld({ clock, shouldDropEvent });
  const trips = createFakeTrips(world, offerMs, stopped.signal);
  const routes = createFakeRoutes(world, trips, options.isEverythingVisible === true);
  const { people } = world;
  const requests = new Map<string, number>();
  const sockets = new Set<FakeSocket>();

  const server = Bun.serve<{ personId: string }, never>({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request, self) {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname !== '/v1/realtime') return answer(request, pathname);
      const personId = searchParams.get('ticket') ?? '';
      return self.upgrade(request, { data: { personId } })
        ? undefined
        : problemAnswer(400, 'request.invalid');
    },
    websocket: {
      open(socket) {
        sockets.add(socket);
        const person = people.get(socket.data.personId);
        if (person === undefined) return socket.close(4401);
        person.socket = socket;
        socket.send(JSON.stringify({ type: 'welcome', lastSeq: firstSeq + person.inbox.length }));
      },
      message(socket, data) {
        const frame = JSON.parse(String(data)) as { type: string; after?: number };
        const person = people.get(socket.data.personId);
        if (frame.type !== 'resume' || person === undefined) return;
        for (const { seq, text } of person.inbox)
          if (seq > (frame.after ?? 0) && text !== undefined) socket.send(text);
        const lastSeq = firstSeq + person.inbox.length;
        socket.send(JSON.stringify({ type: 'resumed', recovered: true, lastSeq }));
      },
      close(socket) {
        sockets.delete(socket);
        const person = people.get(socket.data.personId);
        if (person?.socket === socket) person.socket = undefined;
      },
    },
  });

  return {
    url: `http://127.0.0.1:${server.port}`,
    requests,
    openSocketCount: () => sockets.size,
    onlineDriverCount: () => [...people.values()].filter(({ online }) => online).length,
    closeSockets: (code) => {
      for (const socket of sockets) socket.close(code);
    },
    stop: () => {
      stopped.abort();
      return server.stop(true);
    },
  };

  async function answer(request: Request, path: string): Promise<Response> {
    const route = routeOf(request.method, path);
    const nth = (requests.get(route) ?? 0) + 1;
    requests.set(route, nth);
    const override = options.overrideResponse?.(route, nth);
    if (override !== undefined) return override;
    if (path === '/readyz') return Response.json({ status: 'ready' });
    const body = (await request.json().catch(() => ({}))) as Json;
    if (path === '/v1/auth/register') return Response.json(routes.register(body), { status: 201 });
    const token = (request.headers.get('authorization') ?? '').slice('Bearer '.length);
    const person = people.get(token);
    if (person === undefined) return problemAnswer(401, 'auth.token_invalid');
    const correct = routes.answerPerson(person, request, path, body);
    return correct instanceof Response
      ? correct
      : Response.json(options.corruptResponse?.(route, correct, nth) ?? correct);
  }
}
