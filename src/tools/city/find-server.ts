import { join } from 'node:path';
import type { Clock } from '@platform/clock.ts';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';

const EdgeFile = Type.Object({ url: Type.String() });
const fallbackUrl = 'http://127.0.0.1:8080';

/** The URL of the edge that `dev` or `stack` recorded in this folder, or the default URL. */
export async function findEdgeUrl(folder: string): Promise<string> {
  try {
    const recorded: unknown = await Bun.file(join(folder, '.uitgo', 'edge.json')).json();
    return Value.Check(EdgeFile, recorded) ? recorded.url : fallbackUrl;
  } catch {
    return fallbackUrl;
  }
}

const attemptTimeoutMs = 3_000;
const pauseMs = 500;

/** Resolves to undefined once the server at `url` is ready, or after `timeoutMs` to a message that says what is wrong and what to do. */
export async function waitUntilReady(
  url: string,
  clock: Clock,
  timeoutMs: number,
): Promise<string | undefined> {
  const untilMs = clock.nowMs() + timeoutMs;
  for (;;) {
    const readiness = await readReadiness(url);
    if (readiness === 'ready') return undefined;
    if (clock.nowMs() >= untilMs) return readiness;
    await clock.sleep(pauseMs);
  }
}

async function readReadiness(url: string): Promise<string> {
  try {
    const response = await fetch(`${url.replace(/\/+$/, '')}/readyz`, {
      signal: AbortSignal.timeout(attemptTimeoutMs),
    });
    if (response.ok) return 'ready';
    const text = (await response.text()).slice(0, 300);
    return response.status === 503
      ? `the server at ${url} is not ready: ${text}`
      : `${url} is not a UIT-Go edge (/readyz answered ${response.status}); pass its URL with --url`;
  } catch {
    return `no server at ${url}: start one with "bun run dev" or "bun run stack", or pass another URL with --url`;
  }
}
