import { join } from 'node:path';
import type { Clock } from '@platform/clock.ts';
import { Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';

const EdgeFile = Type.Object({ url: Type.String() });
const fallbackUrl = 'http://127.0.0.1:8080';

/** The edge of the dev or stack that runs in this folder, as it wrote it down; else the usual address. */
export async function findEdgeUrl(folder: string): Promise<string> {
  try {
    const written: unknown = await Bun.file(join(folder, '.uitgo', 'edge.json')).json();
    return Value.Check(EdgeFile, written) ? written.url : fallbackUrl;
  } catch {
    return fallbackUrl;
  }
}

const attemptTimeoutMs = 3_000;
const pauseMs = 500;

/** Undefined when the server at `url` is ready within `retryForMs`; else what is the matter, and what to do. */
export async function waitUntilReady(
  url: string,
  clock: Clock,
  patienceMs: number,
): Promise<string | undefined> {
  const untilMs = clock.nowMs() + patienceMs;
  for (;;) {
    const found = await ask(url);
    if (found === 'ready') return undefined;
    if (clock.nowMs() >= untilMs) return found;
    await clock.sleep(pauseMs);
  }
}

async function ask(url: string): Promise<string> {
  try {
    const response = await fetch(`${url.replace(/\/+$/, '')}/readyz`, {
      signal: AbortSignal.timeout(attemptTimeoutMs),
    });
    if (response.ok) return 'ready';
    const text = (await response.text()).slice(0, 300);
    return response.status === 503
      ? `the server at ${url} is not ready: ${text}`
      : `what answers at ${url} is no UIT-Go edge (its /readyz says ${response.status}); name the right one with --url`;
  } catch {
    return `nobody answers at ${url}: start a server with "bun run dev" or "bun run stack", or name one with --url`;
  }
}
