import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Session } from '@contracts/people.ts';
import { Value } from '@sinclair/typebox/value';
import { localLimits, localSecrets } from '../fleet.ts';
import { startPostgres, sweepFolders } from '../servers/index.ts';
import { freePort } from '../servers/ports.ts';
import { supervise } from '../supervisor.ts';
import type { Tokens } from './cases.ts';

/** The edge that is attacked. */
export interface Target {
  url: string;
  operator: { email: string; password: string } | undefined;
  memoryBytes(): number | undefined;
  stop(): Promise<void>;
}

const root = join(import.meta.dir, '../../..');
const folderPrefix = 'uitgo-fuzz-';
const password = 'correct horse battery';

/** Limits are another matter: they would answer nearly everything. */
export const fuzzLimits = {
  ...localLimits,
  LIMIT_AUTH_PER_MINUTE: '1000000',
  LIMIT_POSITION_PER_MINUTE: '1000000',
  LIMIT_READ_PER_MINUTE: '1000000',
  LIMIT_WRITE_PER_MINUTE: '1000000',
  LIMIT_REALTIME_PER_MINUTE: '1000000',
};

/** The whole system as one process of its own, with embedded adapters, gone at the end. */
export async function startTarget(say: (line: string) => void, signal: AbortSignal): Promise<Target> {
  sweepFolders(tmpdir(), folderPrefix);
  const dir = mkdtempSync(join(tmpdir(), `${folderPrefix}${process.pid}-`));
  chmodSync(dir, 0o755);
  const servers = await startPostgres({
    dir: join(dir, 'postgres'),
    replica: false,
    ephemeral: true,
    signal,
    report: say,
  });
  const secrets = localSecrets(dir);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const service = await supervise(
    {
      name: 'all',
      command: [process.execPath, join(root, 'src/apps/all.ts')],
      cwd: root,
      env: {
        PATH: process.env.PATH ?? '',
        HOST: '127.0.0.1',
        PORT: String(port),
        ADAPTERS: 'embedded',
        LOG_LEVEL: 'warn',
        DATABASE_URL: servers.primary.url,
        ...fuzzLimits,
        ...secrets,
      },
      logFile: join(dir, 'all.log'),
      readyUrl: `${url}/readyz`,
    },
    say,
  );
  return {
    url,
    operator: { email: secrets.OPS_EMAIL, password: secrets.OPS_PASSWORD },
    memoryBytes: () => residentBytes(service.pid()),
    async stop() {
      await service.stop();
      await servers.primary.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function residentBytes(pid: number | undefined): number | undefined {
  try {
    const kilobytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}

/** A rider and a driver who have just registered, and the operator where there is one. */
export async function signIn({ url, operator }: Pick<Target, 'url' | 'operator'>): Promise<Tokens> {
  const register = (role: 'rider' | 'driver') => {
    const email = `fuzz-${role}-${crypto.randomUUID()}@example.com`;
    return tokenOf(url, '/v1/auth/register', { email, password, name: role, role });
  };
  return {
    rider: await register('rider'),
    driver: await register('driver'),
    ops: operator && (await tokenOf(url, '/v1/auth/login', operator)),
  };
}

async function tokenOf(url: string, path: string, body: object): Promise<string> {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer: unknown = await response.json();
  if (!Value.Check(Session, answer)) throw new Error(`${path} answered ${response.status}`);
  return answer.tokens.accessToken;
}
