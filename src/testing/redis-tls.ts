import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreePort } from '../tools/servers/ports.ts';
import { awaitReady, type ProcessSpec, startProcess } from '../tools/servers/process.ts';

export interface TlsRedis {
  /** With the host name, because the certificate does not contain the address. */
  url: string;
  /** The certificate of the authority that signed it, which no system trusts by default. */
  authorityFile: string;
  stop(): Promise<void>;
}

const stopTimeoutMs = 5_000;
const readyTimeoutMs = 10_000;

/** Starts one Redis over TLS that is a whole cluster and announces its host name, as managed clusters do. */
export async function startTlsRedisCluster(): Promise<TlsRedis> {
  const dir = mkdtempSync(join(tmpdir(), 'uitgo-redis-tls-'));
  createCertificates(dir);
  const [port, busPort] = [await findFreePort(), await findFreePort()];
  const config = [
    'bind 127.0.0.1',
    'port 0',
    `tls-port ${port}`,
    'tls-cluster yes',
    'tls-auth-clients no',
    `tls-cert-file ${join(dir, 'server.crt')}`,
    `tls-key-file ${join(dir, 'server.key')}`,
    `tls-ca-cert-file ${join(dir, 'authority.crt')}`,
    'cluster-enabled yes',
    `cluster-port ${busPort}`,
    'cluster-announce-hostname localhost',
    'cluster-preferred-endpoint-type hostname',
    'save ""',
    `dir ${dir}`,
  ];
  writeFileSync(join(dir, 'redis.conf'), `${config.join('\n')}\n`);
  const spec: ProcessSpec = {
    name: 'Redis over TLS',
    command: ['redis-server', join(dir, 'redis.conf')],
    cwd: dir,
    env: { PATH: process.env.PATH ?? '' },
    logFile: join(dir, 'redis.log'),
    account: undefined,
    stopSignal: 'SIGTERM',
    stopTimeoutMs,
  };
  const server = startProcess(spec);
  await awaitReady(spec, server, readyTimeoutMs, () => isListening(port));
  return {
    url: `rediss://localhost:${port}`,
    authorityFile: join(dir, 'authority.crt'),
    async stop() {
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

const isListening = (port: number): Promise<boolean> =>
  Bun.connect({ hostname: '127.0.0.1', port, socket: { data: () => undefined } }).then(
    (socket) => {
      socket.end();
      return true;
    },
    () => false,
  );

/** Creates an authority for this test and a certificate for `localhost` signed by it. */
function createCertificates(dir: string): void {
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    dir,
    'req',
    '-x509',
    ...newKey,
    '-days',
    '2',
    '-subj',
    '/CN=A test authority',
    ...outputFiles('authority'),
  );
  openssl(dir, 'req', ...newKey, '-subj', '/CN=localhost', '-keyout', 'server.key', '-out', 'server.csr');
  writeFileSync(join(dir, 'names'), 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n');
  const authority = ['-CA', 'authority.crt', '-CAkey', 'authority.key', '-CAcreateserial'];
  const signed = ['-days', '2', '-extfile', 'names', '-in', 'server.csr', '-out', 'server.crt'];
  openssl(dir, 'x509', '-req', ...authority, ...signed);
}

const outputFiles = (name: string) => ['-keyout', `${name}.key`, '-out', `${name}.crt`];

function openssl(cwd: string, ...args: string[]): void {
  const { success, stderr } = Bun.spawnSync(['openssl', ...args], { cwd, stderr: 'pipe' });
  if (!success) throw new Error(`openssl ${args[0]} failed: ${stderr}`);
}
