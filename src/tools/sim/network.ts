import type { FaultPlan } from './faults.ts';
import type { Scheduler, Scope } from './scheduler.ts';

/** An instance of a service that receives requests. */
export interface NetworkServer {
  scope: Scope;
  handle(request: Request): Promise<Response>;
  /** Called when the instance dies: one for each request in flight, which then fails with a reset connection. */
  onDeathCallbacks: Set<() => void>;
}

export interface NetworkOptions {
  scheduler: Scheduler;
  plan: FaultPlan;
  /** An instance that seems to accept requests; it may be paused without having been detected. */
  findServer(service: string): NetworkServer | undefined;
}

export interface NetworkSendOptions {
  from: Scope;
  service: string;
  /** `client`: a request from outside; `call`: a call between services. */
  kind: 'client' | 'call';
  timeoutMs: number;
}

export type Network = ReturnType<typeof createNetwork>;

const createRefusedError = () =>
  Object.assign(new Error('connect ECONNREFUSED (simulated)'), { code: 'ECONNREFUSED' });
const createResetError = () =>
  Object.assign(new Error('read ECONNRESET (simulated)'), { code: 'ECONNRESET' });
const createTimeoutError = () =>
  Object.assign(new Error('timed out (simulated)'), { name: 'TimeoutError', code: 'ETIMEDOUT' });

/** HTTP between clients and services, with requests that never handleAt, handleAt late, or whose reply is lost. */
export function createNetwork({ scheduler, plan, findServer }: NetworkOptions) {
  const network = scheduler.createScope('network');
  /** Resolves to the response. After a rejection it is unknown whether the request was carried out. */
  return async function send(
    request: Request,
    { from, service, kind, timeoutMs }: NetworkSendOptions,
  ): Promise<Response> {
    const body = request.method === 'GET' ? undefined : await request.text();
    const { method, url } = request;
    const headers = new Headers(request.headers);
    const path = new URL(url).pathname;
    const location = `${from.name} → ${service}: ${method} ${path.replaceAll(/[0-9a-f-]{32}([0-9a-f]{4})/g, '…$1')}`;

    return new Promise((resolve, reject) => {
      let isOver = false;
      const end = (settle: () => void) => {
        if (isOver) return;
        isOver = true;
        cancelTimeout();
        settle();
      };
      const cancelTimeout = scheduler.schedule(timeoutMs, from, () =>
        end(() => reject(createTimeoutError())),
      );
      const late = plan.draw(`${kind}.late`, location);
      const delayMs =
        late === undefined ? scheduler.randomBetween(0.2, 3) : timeoutMs * (0.5 + late.next() * 1.5);
      scheduler.schedule(delayMs, network, () => {
        const server = findServer(service);
        if (server === undefined || plan.draw(`${kind}.refused`, location))
          return void scheduler.schedule(1, from, () => end(() => reject(createRefusedError())));
        const onServerDeath = () =>
          void scheduler.schedule(1, from, () => end(() => reject(createResetError())));
        scheduler.schedule(0, server.scope, () => handleAt(server, onServerDeath));
      });

      function handleAt(server: NetworkServer, onServerDeath: () => void): void {
        server.onDeathCallbacks.add(onServerDeath);
        const forwarded = new Request(url, { method, headers, ...(body === undefined ? {} : { body }) });
        void server.handle(forwarded).then(async (response) => {
          server.onDeathCallbacks.delete(onServerDeath);
          const text = await response.text();
          const isLost = plan.draw(`${kind}.reply_lost`, location) !== undefined;
          scheduler.recordTrace(`${location} → ${server.scope.name} answers ${response.status}`);
          const copyResponse = () =>
            new Response(text === '' ? null : text, { status: response.status, headers: response.headers });
          scheduler.schedule(scheduler.randomBetween(0.2, 2), server.scope, () => {
            scheduler.schedule(0, from, () =>
              end(isLost ? () => reject(createResetError()) : () => resolve(copyResponse())),
            );
          });
        });
      }
    });
  };
}
