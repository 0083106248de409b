import type { Clock } from '@platform/clock.ts';
import { type BystanderAccounts, requestJson } from './accounts.ts';

/** Something that a well-behaved client does again and again. */
interface Habit {
  name: string;
  everyMs: number;
  act(): Promise<void>;
}

export interface BystanderStats {
  count: number;
  p50Ms: number;
  p95Ms: number;
  /** What went wrong, shortened; at most a few. */
  errors: string[];
  errorCount: number;
}

/** Clients that do nothing wrong, while they are watched. */
export interface Bystanders {
  /** What each of them saw for so long, by what they do. */
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
  const live = await openLive(url, people.rider.token);
  const position = { lat: 10.7769, lng: 106.7009 };
  const { email, password } = people.rider;
  const put = (path: string, token: string, body: object) =>
    requestJson(url, 204, 'PUT', path, { token, body }).then(noValue);
  const habits: readonly Habit[] = [
    {
      name: 'sign-in',
      everyMs: 250,
      act: () => requestJson(url, 200, 'POST', '/v1/auth/login', { body: { email, password } }).then(noValue),
    },
    {
      name: 'key set',
      everyMs: 100,
      act: () => requestJson(url, 200, 'GET', '/.well-known/jwks.json').then(noValue),
    },
    {
      name: 'position',
      everyMs: 50,
      act: () => put('/v1/drivers/me/location', people.driver.token, position),
    },
    {
      name: 'trip',
      everyMs: 100,
      act: () =>
        requestJson(url, 200, 'GET', `/v1/trips/${people.tripId}`, { token: people.rider.token }).then(
          noValue,
        ),
    },
    { name: 'live connection', everyMs: 100, act: () => live.resume() },
    {
      name: 'new live connection',
      everyMs: 500,
      act: async () => (await openLive(url, people.driver.token)).close(),
    },
  ];
  return {
    async measure(forMs) {
      const endMs = clock.nowMs() + forMs;
      const seen = await Promise.all(habits.map((habit) => watchOne(habit, endMs)));
      return Object.fromEntries(habits.map(({ name }, index) => [name, summary(seen[index] ?? [])]));
    },
    stop: () => live.close(),
  };

  /** At its own pace, whether what it did before was answered or not: who waits is not counted less often. */
  async function watchOne({ everyMs, act }: Habit, endMs: number): Promise<Seen[]> {
    const acts: Promise<Seen>[] = [];
    while (clock.nowMs() < endMs) {
      acts.push(timed(act));
      await clock.sleep(everyMs);
    }
    return Promise.all(acts);
  }
}

interface Seen {
  ms: number;
  error?: string;
}

async function timed(act: () => Promise<void>): Promise<Seen> {
  const started = performance.now();
  try {
    await within(act());
    return { ms: performance.now() - started };
  } catch (error) {
    return { ms: performance.now() - started, error: String(error).slice(0, 200) };
  }
}

function within(acting: Promise<void>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(() => late.reject(new Error(`nothing within ${timeoutMs} ms`)), timeoutMs);
  return Promise.race([acting, late.promise]).finally(() => clearTimeout(timer));
}

function summary(seen: readonly Seen[]): BystanderStats {
  const sorted = seen.map(({ ms }) => ms).sort((a, b) => a - b);
  const at = (share: number) => {
    const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return Math.round(value * 10) / 10;
  };
  const errors = seen.flatMap(({ error }) => (error === undefined ? [] : [error]));
  return {
    count: seen.length,
    p50Ms: at(0.5),
    p95Ms: at(0.95),
    errors: errors.slice(0, errorsShownMax),
    errorCount: errors.length,
  };
}

interface Live {
  /** Asks for what was missed, and waits to hear that this is all. */
  resume(): Promise<void>;
  close(): void;
}

async function openLive(url: string, token: string): Promise<Live> {
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
    const error = new Error(`the live connection ended: ${code} ${reason}`);
    welcome.reject(error);
    resuming?.reject(error);
  };
  const lastSeq = await welcome.promise;
  return {
    resume() {
      if (socket.readyState !== WebSocket.OPEN) return Promise.reject(new Error('the live connection ended'));
      if (resuming === undefined) {
        resuming = Promise.withResolvers<void>();
        socket.send(JSON.stringify({ type: 'resume', after: lastSeq }));
      }
      return resuming.promise;
    },
    close: () => socket.close(),
  };
}

const noValue = () => undefined;
