import type { FaultPlan } from './faults.ts';
import type { Scheduler, Scope } from './scheduler.ts';

/** An instance of a service, as the network finds it. */
export interface NetworkServer {
  scope: Scope;
  handle(request: Request): Promise<Response>;
  /** Whoever waits for an answer of it: told that the connection broke when it dies. */
  onDeathCallbacks: Set<() => void>;
}

export interface NetworkOptions {
  scheduler: Scheduler;
  plan: FaultPlan;
  /** An instance that takes requests now: also one that has stopped without anybody's noticing. */
  findServer(service: string): NetworkServer | undefined;
}

export interface NetworkSendOptions {
  from: Scope;
  service: string;
  /** `client`: from outside; `call`: between services. */
  kind: 'client' | 'call';
  timeoutMs: number;
}

export type Network = ReturnType<typeof createNetwork>;

const refused = () => Object.assign(new Error('connect ECONNREFUSED (simulated)'), { code: 'ECONNREFUSED' });
const broken = () => Object.assign(new Error('read ECONNRESET (simulated)'), { code: 'ECONNRESET' });
const timedOut = () =>
  Object.assign(new Error('timed out (simulated)'), { name: 'TimeoutError', code: 'ETIMEDOUT' });

/** HTTP between people and services: requests that never arrive, are done unheard, or come long after. */
export function createNetwork({ scheduler, plan, findServer }: NetworkOptions) {
  const network = scheduler.createScope('network');
  /** The answer, or a rejection after which nobody knows whether it was done. */
  return async function send(
    request: Request,
    { from, service, kind, timeoutMs }: NetworkSendOptions,
  ): Promise<Response> {
    const body = request.method === 'GET' ? undefined : await request.text();
    const { method, url } = request;
    const headers = new Headers(request.headers);
    const path = new URL(url).pathname;
    const where = `${from.name} → ${service}: ${method} ${path.replaceAll(/[0-9a-f-]{32}([0-9a-f]{4})/g, '…$1')}`;

    return new Promise((resolve, reject) => {
      let isOver = false;
      const end = (act: () => void) => {
        if (isOver) return;
        isOver = true;
        callOff();
        act();
      };
      const callOff = scheduler.schedule(timeoutMs, from, () => end(() => reject(timedOut())));
      const late = plan.draw(`${kind}.late`, where);
      const delayMs =
        late === undefined ? scheduler.randomBetween(0.2, 3) : timeoutMs * (0.5 + late.next() * 1.5);
      scheduler.schedule(delayMs, network, () => {
        const server = findServer(service);
        if (server === undefined || plan.draw(`${kind}.refused`, where))
          return void scheduler.schedule(1, from, () => end(() => reject(refused())));
        const cut = () => void scheduler.schedule(1, from, () => end(() => reject(broken())));
        scheduler.schedule(0, server.scope, () => arrive(server, cut));
      });

      function arrive(server: NetworkServer, cut: () => void): void {
        server.onDeathCallbacks.add(cut);
        const again = new Request(url, { method, headers, ...(body === undefined ? {} : { body }) });
        void server.handle(again).then(async (response) => {
          server.onDeathCallbacks.delete(cut);
          const text = await response.text();
          const isLost = plan.draw(`${kind}.reply_lost`, where) !== undefined;
          scheduler.recordTrace(`${where} → ${server.scope.name} says ${response.status}`);
          const copy = () =>
            new Response(text === '' ? null : text, { status: response.status, headers: response.headers });
          scheduler.schedule(scheduler.randomBetween(0.2, 2), server.scope, () => {
            scheduler.schedule(0, from, () => end(isLost ? () => reject(broken()) : () => resolve(copy())));
          });
        });
      }
    });
  };
}
