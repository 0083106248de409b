import type { Clock } from '@platform/clock.ts';
import { type BystanderAccounts, requestJson } from './accounts.ts';

/** An action that a well-behaved client repeats. */
interface RepeatedAction {
  name: string;
  everyMs: number;
  run(): Promise<void>;
}

export interface BystanderStats {
  count: number;
  p50Ms: number;
  p95Ms: number;
  /** The first few errors, shortened. */
  errors: string[];
  errorCount: number;
}

/** Well-behaved clients whose latency and errors are measured. */
export interface Bystanders {
  /** Measures each action for this time; results by action name. */
  measure(forMs: number): Promise<Record<string, BystanderStats>>;
  stop(): void;
}

const errorsShownMax = 5;
const timeoutMs = 5_000;

export async function startBystanders(
  url: string,
  people: BystanderAccounts,
  clock: Clock,
): Promise<Bystanders> {
  const live = await openLiveClient(url, people.rider.token);
  const position = { lat: 10.7769, lng: 106.7009 };
  const { email, password } = people.rider;
  const put = (path: string, token: string, body: object) =>
    requestJson(url, 204, 'PUT', path, { token, body }).then(ignoreResult);
  const actions: readonly RepeatedAction[] = [
    {
      name: 'sign-in',
      everyMs: 250,
      run: () =>
        requestJson(url, 200, 'POST', '/v1/auth/login', { body: { email, password } }).then(ignoreResult),
    },
    {
      name: 'key set',
      everyMs: 100,
      run: () => requestJson(url, 200, 'GET', '/.well-known/jwks.json').then(ignoreResult),
    },
    {
      name: 'position',
      everyMs: 50,
      run: () => put('/v1/drivers/me/location', people.driver.token, position),
    },
    {
      name: 'trip',
      everyMs: 100,
      run: () =>
        requestJson(url, 200, 'GET', `/v1/trips/${people.tripId}`, { token: people.rider.token }).then(
          ignoreResult,
        ),
    },
    { name: 'live connection', everyMs: 100, run: () => live.resume() },
    {
      name: 'new live connection',
      everyMs: 500,
      run: async () => (await openLiveClient(url, people.driver.token)).close(),
    },
  ];
  return {
    async measure(forMs) {
      const endMs = clock.nowMs() + forMs;
      const samples = await Promise.all(actions.map((action) => measureAction(action, endMs)));
      return Object.fromEntries(
        actions.map(({ name }, index) => [name, summarizeSamples(samples[index] ?? [])]),
      );
    },
    stop: () => live.close(),
  };

  /** Runs an action at a fixed rate, without waiting for earlier responses, so that slow responses do not reduce the sample. */
  async function measureAction({ everyMs, run }: RepeatedAction, endMs: number): Promise<Sample[]> {
    const runs: Promise<Sample>[] = [];
    while (clock.nowMs() < endMs) {
      runs.push(measureRun(run));
      await clock.sleep(everyMs);
    }
    return Promise.all(runs);
  }
}

interface Sample {
  ms: number;
  error?: string;
}

async function measureRun(run: () => Promise<void>): Promise<Sample> {
  const started = performance.now();
  try {
    await withDeadline(run());
    return { ms: performance.now() - started };
  } catch (error) {
    return { ms: performance.now() - started, error: String(error).slice(0, 200) };
  }
}

function withDeadline(running: Promise<void>): Promise<void> {
  const deadline = Promise.withResolvers<void>();
  const timer = setTimeout(() => deadline.reject(new Error(`no response within ${timeoutMs} ms`)), timeoutMs);
  return Promise.race([running, deadline.promise]).finally(() => clearTimeout(timer));
}

function summarizeSamples(samples: readonly Sample[]): BystanderStats {
  const sorted = samples.map(({ ms }) => ms).sort((a, b) => a - b);
  const at = (share: number) => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return Math.round(value * 10) / 10;
  };
  const errors = samples.flatMap(({ error }) => (error === undefined ? [] : [error]));
  return {
    count: samples.length,
    p50Ms: at(0.5),
    p95Ms: at(0.95),
    errors: errors.slice(0, errorsShownMax),
    errorCount: errors.length,
  };
}

interface LiveClient {
  /** Sends `resume` and waits for `resumed`. */
  resume(): Promise<void>;
  close(): void;
}

async function openLiveClient(url: string, token: string): Promise<LiveClient> {
  const { ticket } = await requestJson(url, 201, 'POST', '/v1/realtime/ticket', { token });
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/realtime?ticket=${ticket}`);
  let resuming: PromiseWithResolvers<void> | undefined;
  const welcome = Promise.withResolvers<number>();
  socket.onmessage = ({ data }) => {
    const frame: { type?: string; lastSeq?: number } = JSON.parse(String(data));
    if (frame.type === 'welcome') welcome.resolve(frame.lastSeq ?? 0);
    if (frame.type === 'resumed') {
      resuming?.resolve();
      resuming = undefined;
    }
  };
  socket.onclose = ({ code, reason }) => {
    const error = new Error(`live connection closed: ${code} ${reason}`);
    welcome.reject(error);
    resuming?.reject(error);
  };
  const lastSeq = await welcome.promise;
  return {
    resume() {
      if (socket.readyState !== WebSocket.OPEN) return Promise.reject(new Error('live connection closed'));
      if (resuming === undefined) {
        resuming = Promise.withResolvers<void>();
        socket.send(JSON.stringify({ type: 'resume', after: lastSeq }));
      }
      return resuming.promise;
    },
    close: () => socket.close(),
  };
}

const ignoreResult = () => undefined;
