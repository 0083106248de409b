import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { type SupervisedService, supervise } from '../../src/tools/local/supervisor.ts';
import { resolveProgram } from '../../src/tools/servers/index.ts';
import { findFreePort } from '../../src/tools/servers/ports.ts';
import { haproxy as haproxyNeed } from '../harness/programs.ts';
import { type BenchSigner, createBenchSigner, createEs256Signer } from '../token/signer.ts';

export interface Target {
  url: string;
  /** Tokens that it accepts, one a line. */
  tokensFile: string;
  pids(): number[];
}

export interface GatewayBench {
  upstream: Target;
  gateway: Target;
  /** A plain proxy. */
  haproxy: Target;
  /** Does what the gateway does: tokens verified, limits for each user and address, health checks. */
  haproxyEdge: Target;
  /** The same app in one process, with the edge's hooks and without. */
  hooked: Target;
  bare: Target;
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
  const signer = createBenchSigner();
  const es256Signer = createEs256Signer();
  const tokens = signTokens(signer);
  const eddsaTokensFile = writeTokens(dir, 'tokens', tokens);
  const es256TokensFile = writeTokens(dir, 'tokens-es256', signTokens(es256Signer));
  const stop = async () => {
    await Promise.all(started.map((one) => one.stop()));
    rmSync(dir, { recursive: true, force: true });
  };

  async function start(
    name: string,
    command: readonly string[],
    port: number,
    env = {},
    tokensFile = eddsaTokensFile,
  ): Promise<Target> {
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
    return { url, tokensFile, pids: () => [service.pid()].filter((pid) => pid !== undefined) };
  }
  const bun = (file: string) => [process.execPath, join(root, file)];

  try {
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
    const startHaproxy = async (
      name: string,
      config: (port: number) => string,
      accepted = eddsaTokensFile,
    ) => {
      const port = await findFreePort();
      const file = join(dir, `${name}.cfg`);
      writeFileSync(file, config(port));
      return start(name, [program, '-db', '-f', file], port, {}, accepted);
    };
    const haproxy = await startHaproxy('haproxy', (port) => plainProxy(port, upstream.url));
    const keyFile = join(dir, 'es256.pem');
    writeFileSync(keyFile, es256Signer.publicKeyPem);
    const { issuer, audience } = es256Signer;
    const haproxyEdge = await startHaproxy(
      'haproxy-edge',
      (port) => edgeProxy(port, upstream.url, { keyFile, issuer, audience }),
      es256TokensFile,
    );
    const inProcess = bun('bench/gateway/in-process.ts');
    const hooked = await start('hooked', inProcess, await findFreePort(), { ...edge, EDGE: 'yes' });
    const bare = await start('bare', inProcess, await findFreePort(), { ...edge, EDGE: 'no' });
    return { upstream, gateway, haproxy, haproxyEdge, hooked, bare, tokens, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function signTokens(signer: Pick<BenchSigner, 'sign'>): string[] {
  const ids = createIds(systemClock, systemRandom);
  const expiresAtSeconds = systemClock.nowMs() / 1_000 + tokenSeconds;
  return Array.from({ length: people }, () =>
    signer.sign({ sub: ids(), role: 'rider', sid: ids() }, expiresAtSeconds),
  );
}

function writeTokens(dir: string, name: string, tokens: readonly string[]): string {
  const file = join(dir, name);
  writeFileSync(file, tokens.map((token) => `${token}\n`).join(''), { mode: 0o600 });
  return file;
}

/** One thread, and connections to the upstream that are kept. */
const haproxyBase = `
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 3s
  timeout client 75s
  timeout server 8s
  http-reuse always
`;

const plainProxy = (port: number, upstreamUrl: string): string => `${haproxyBase}
frontend edge
  bind 127.0.0.1:${port}
  default_backend upstream
backend upstream
  server one ${new URL(upstreamUrl).host}
`;

interface TokenRules {
  keyFile: string;
  issuer: string;
  audience: string;
}

/** The gateway's work, as HAProxy's manual shows it: bearer tokens verified, request rates limited, instances checked. */
const edgeProxy = (
  port: number,
  upstreamUrl: string,
  { keyFile, issuer, audience }: TokenRules,
): string => `${haproxyBase}
frontend edge
  bind 127.0.0.1:${port}
  acl is_probe path /readyz
  http-request set-var(txn.alg) http_auth_bearer,jwt_header_query('$.alg')
  http-request set-var(txn.iss) http_auth_bearer,jwt_payload_query('$.iss')
  http-request set-var(txn.aud) http_auth_bearer,jwt_payload_query('$.aud')
  http-request set-var(txn.exp) http_auth_bearer,jwt_payload_query('$.exp','int')
  http-request set-var(txn.sub) http_auth_bearer,jwt_payload_query('$.sub')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 if !is_probe !{ var(txn.alg) -m str ES256 }
  http-request deny deny_status 401 if !is_probe !{ var(txn.iss) -m str ${issuer} }
  http-request deny deny_status 401 if !is_probe !{ var(txn.aud) -m str ${audience} }
  http-request deny deny_status 401 if !is_probe { var(txn.exp),sub(txn.now) -m int lt 0 }
  http-request deny deny_status 401 if !is_probe !{ http_auth_bearer,jwt_verify(txn.alg,"${keyFile}") 1 }
  http-request track-sc0 src table per_address
  http-request track-sc1 var(txn.sub) table per_user if !is_probe
  http-request deny deny_status 429 if { sc_http_req_rate(0,per_address) gt 100000000 } || { sc_http_req_rate(1,per_user) gt 1000000 }
  http-request del-header x-service-token
  http-request del-header x-forwarded-for
  http-request set-header x-request-id %[uuid]
  option forwardfor
  http-response set-header ratelimit-policy ""read";q=1000000;w=60"
  default_backend upstream
backend per_address
  stick-table type ip size 100k expire 60s store http_req_rate(60s)
backend per_user
  stick-table type string len 36 size 100k expire 60s store http_req_rate(60s)
backend upstream
  option httpchk GET /readyz
  server one ${new URL(upstreamUrl).host} check inter 2s
`;
