import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, relative } from 'node:path';
import { parseInteger } from '@platform/numbers.ts';

/** Resolves once the signal is aborted. */
export function waitForAbort(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

const defaultPort = 8080;
const portAttemptsMax = 50;

/** Returns PORT, which must be free, or otherwise 8080 or the next free port after it. */
export async function chooseEdgePort(report: (line: string) => void): Promise<number> {
  const requested = process.env.PORT;
  if (requested !== undefined && requested !== '') {
    const port = parseInteger(requested);
    if (port === undefined || port < 0 || port > 65_535)
      throw new Error(`PORT=${requested} is not a port number`);
    if (!(await isFree(port)))
      throw new Error(`port ${port} is in use by another program: choose another PORT or none`);
    return port;
  }
  for (let port = defaultPort; port < defaultPort + portAttemptsMax; port++) {
    if (!(await isFree(port))) continue;
    if (port !== defaultPort) report(`port ${defaultPort} is in use by another program, using ${port}`);
    return port;
  }
  throw new Error(`no port from ${defaultPort} to ${defaultPort + portAttemptsMax - 1} is free: set PORT`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)));
  });
}

const edgeFile = () => join(process.cwd(), '.uitgo', 'edge.json');

/**
 * Records the URL of the running edge of this checkout and the file with its operator's account, so that other
 * commands find them. Returns a function that removes the record.
 */
export function recordEdge(url: string, secrets: string): () => void {
  const file = edgeFile();
  mkdirSync(join(file, '..'), { recursive: true });
  const text = JSON.stringify({ url, secrets });
  writeFileSync(file, text);
  return () => {
    try {
      if (readFileSync(file, 'utf8') === text) rmSync(file);
    } catch {
      // Already removed by another run.
    }
  };
}

/** The text that is printed once the system is ready. */
export function welcomeText(url: string, state: string, next: string, secrets: string): string {
  const register = JSON.stringify({
    email: 'an@example.com',
    password: 'correct horse',
    name: 'An',
    role: 'rider',
  });
  return [
    '',
    `  UIT-Go   ${url}`,
    `  docs     ${url}/openapi`,
    `  state    ${state}`,
    `  next     ${next}`,
    `  operator bun run dlq list (OPS_EMAIL and OPS_PASSWORD are in ${relative(process.cwd(), secrets)})`,
    '',
    '  try it:',
    `  curl -s ${url}/v1/auth/register -H 'content-type: application/json' -d '${register}'`,
    '',
  ].join('\n');
}
