import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { resolveProgram } from '../../src/tools/servers/index.ts';
import { findFreePort } from '../../src/tools/servers/ports.ts';
import { type SupervisedService, supervise } from '../../src/tools/supervisor.ts';
import { haproxy as haproxyNeed } from '../harness/programs.ts';
import { createBenchSigner } from '../token/signer.ts';

export interface Target {
  url: string;
  pids(): number[];
}

export interface GatewayBench {
  upstream: Target;
  gateway: Target;
  haproxy: Target;
  /** The same app in one process, with the edge's hooks and without. */
  hooked: Target;
  bare: Target;
  /** One token a line. */
  tokensFile: string;
  tokens: readonly string[];
  stop(): Promise<void>;
}

const root = join(import.meta.dir, '../..');
const people = 1_000;
const tokenSeconds = 3_600;
// Limits are counted and told, and nobody meets them: wrk asks faster than any person.
const limits = {
  LIMIT_READ_PER_MINUTE: '1000000',
  LIMIT_WRITE_PER_MINUTE: '1000000',
  // A machine that is full with two benches' sides is no overload: what wrk holds open is let in.
  ADMISSION_REQUESTS_MIN: '128',
};

/** The upstream, the gateway and HAProxy in front of it, and both forms of the app in one process. */
export async function startAll(redisUrl: string, say: (line: string) => void): Promise<GatewayBench> {
  const program = resolveProgram(haproxyNeed);
  const dir = join(root, '.uitgo', 'bench', 'gateway');
  mkdirSync(dir, { recursive: true });
  const started: SupervisedService[] = [];
  const stop = async () => {
    await Promise.all(started.map((one) => one.stop()));
    rmSync(dir, { recursive: true, force: true });
  };

  async function start(name: string, command: readonly string[], port: number, env = {}): Promise<Target> {
    const url = `http://127.0.0.1:${port}`;
    const service = await supervise(
      {
        name,
        command,
        cwd: root,
        env: { PATH: process.env.PATH ?? '', HOST: '127.0.0.1', PORT: String(port), ...env },
        logFile: join(dir, `${name}.log`),
        readyUrl: `${url}/readyz`,
      },
      say,
    );
    started.push(service);
    return { url, pids: () => [service.pid()].filter((pid) => pid !== undefined) };
  }
  const bun = (file: string) => [process.execPath, join(root, file)];

  try {
    const { signer, tokens, tokensFile } = signTokens(dir);
    const upstream = await start('upstream', bun('bench/gateway/upstream.ts'), await findFreePort(), {
      KEY_SET: JSON.stringify(signer.keySet),
    });
    const edge = {
      ...limits,
      LOG_LEVEL: 'warn',
      CACHE_REDIS_URL: redisUrl,
      SERVICE_TOKEN: randomBytes(32).toString('base64url'),
      USER_URL: upstream.url,
    };
    const others = ['DRIVER', 'TRIP', 'PAYMENT', 'NOTIFICATION'].map((name) => [`${name}_URL`, upstream.url]);
    const gateway = await start('gateway', bun('src/apps/gateway.ts'), await findFreePort(), {
      ...edge,
      ...Object.fromEntries(others),
    });
    const haproxyPort = await findFreePort();
    const config = join(dir, 'haproxy.cfg');
    writeFileSync(config, haproxyConfig(haproxyPort, upstream.url));
    const haproxy = await start('haproxy', [program, '-db', '-f', config], haproxyPort);
    const inProcess = bun('bench/gateway/in-process.ts');
    const hooked = await start('hooked', inProcess, await findFreePort(), { ...edge, EDGE: 'yes' });
    const bare = await start('bare', inProcess, await findFreePort(), { ...edge, EDGE: 'no' });
    return { upstream, gateway, haproxy, hooked, bare, tokens, tokensFile, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function signTokens(dir: string) {
  const signer = createBenchSigner();
  const ids = createIds(systemClock, systemRandom);
  const expiresAtSeconds = systemClock.nowMs() / 1_000 + tokenSeconds;
  const tokens = Array.from({ length: people }, () =>
    signer.sign({ sub: ids(), role: 'rider', sid: ids() }, expiresAtSeconds),
  );
  const tokensFile = join(dir, 'tokens');
  writeFileSync(tokensFile, tokens.map((token) => `${token}\n`).join(''), { mode: 0o600 });
  return { signer, tokens, tokensFile };
}

/** A plain proxy on one thread that keeps its connections to the upstream. */
const haproxyConfig = (port: number, upstreamUrl: string): string => `
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 3s
  timeout client 75s
  timeout server 8s
  http-reuse always
frontend edge
  bind 127.0.0.1:${port}
  default_backend upstream
backend upstream
  server one ${new URL(upstreamUrl).host}
`;
