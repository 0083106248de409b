import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { awaitUnclaimed } from './claim.ts';
import { containerCommand, pullImage, signalContainer } from './docker.ts';
import type { ServerEngine } from './engine.ts';
import { startEpmd } from './epmd.ts';
import { type ManagedServerOptions, startManagedServer } from './managed.ts';
import { findFreePort, withPort } from './ports.ts';
import type { ManagedProcess, ProcessSpec } from './process.ts';
import { createNodeEnvironment, rabbitmqUser, writeNodeFiles } from './rabbitmq-node.ts';
import { loadOrCreatePassword } from './secret.ts';
import { probeTcp } from './tcp.ts';
import { type ReportProgress, type RunningServer, ServerError } from './types.ts';

const image = 'rabbitmq:3.13-alpine';
const innerPort = 5672;
const stopTimeoutMs = 20_000;
const readyTimeoutMs = 90_000;
const diskFreeMinBytes = 50_000_000;
const name = 'RabbitMQ';

export type RabbitmqOptions = {
  /** Folder for the node's data, cookie, config and log; created if missing, otherwise reused. */
  readonly dir: string;
  readonly engine: ServerEngine;
  /** `stop()` removes the data. */
  readonly ephemeral: boolean;
  readonly port?: number;
  /** When aborted, starting rejects with `server.interrupted` and leaves nothing running. */
  readonly signal?: AbortSignal | undefined;
  readonly report: ReportProgress;
};

/**
 * Starts a separate RabbitMQ node: it shares neither node name, cookie, name service nor ports with another RabbitMQ
 * on this machine. Queues and messages survive a restart.
 * @throws ServerError
 */
export const startRabbitmq = async (options: RabbitmqOptions): Promise<RunningServer> => {
  const dir = resolve(options.dir);
  mkdirSync(dir, { recursive: true });
  await awaitUnclaimed(name, dir);
  const { engine } = options;
  if (engine.via === 'docker') await pullImage(image, options.report);
  return withPort(options.port, (port) =>
    engine.via === 'docker'
      ? startContainer(options, dir, port)
      : startNode(options, dir, port, engine.program),
  );
};

const startNode = async (
  options: RabbitmqOptions,
  dir: string,
  port: number,
  program: string,
): Promise<RunningServer> => {
  const password = loadOrCreatePassword(dir);
  const node = { dir, port, distPort: await findFreePort(), password, diskFreeMinBytes };
  writeNodeFiles(node);
  const epmd = await startEpmd(dir, options.signal);
  try {
    const server = await startManagedServer({
      ...common(dir, port, password),
      origin: 'path',
      spec: spec(options, dir, [program], createNodeEnvironment(node, epmd.port)),
      afterStop: async () => {
        await epmd.stop();
        if (options.ephemeral) rmSync(dir, { recursive: true, force: true });
      },
    });
    return {
      ...server,
      pids: () => [...server.pids(), ...epmd.pids()],
      runAdminCommand: (command) =>
        runTool(
          [findSiblingTool(program, 'rabbitmqctl'), ...command],
          createNodeEnvironment(node, epmd.port),
        ),
    };
  } catch (error) {
    await epmd.stop();
    throw error;
  }
};

const startContainer = async (
  options: RabbitmqOptions,
  dir: string,
  port: number,
): Promise<RunningServer> => {
  const password = loadOrCreatePassword(dir);
  const digest = createHash('sha256').update(dir).digest('hex').slice(0, 12);
  const containerName = `uitgo-rabbitmq-${digest}`;
  const environment = [
    `RABBITMQ_DEFAULT_USER=${rabbitmqUser}`,
    `RABBITMQ_DEFAULT_PASS=${password}`,
    `RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-rabbit disk_free_limit ${diskFreeMinBytes}`,
  ];
  const command = containerCommand({
    name: containerName,
    image,
    port,
    innerPort,
    options: [
      // The data folder in the container is named after the host.
      '--hostname=uitgo',
      ...environment.flatMap((variable) => ['--env', variable]),
      ...(options.ephemeral ? [] : ['--volume', `${containerName}:/var/lib/rabbitmq`]),
    ],
    command: [],
  });
  const environmentOfClient = { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? dir };
  const server = await startManagedServer({
    ...common(dir, port, password),
    origin: 'docker',
    spec: spec(options, dir, command, environmentOfClient),
    signalServer: (signal) => signalContainer(containerName, signal),
    afterStop: async () => {
      if (options.ephemeral) rmSync(dir, { recursive: true, force: true });
    },
  });
  return {
    ...server,
    runAdminCommand: (toolArguments) =>
      runTool(['docker', 'exec', containerName, 'rabbitmqctl', ...toolArguments], environmentOfClient),
  };
};

/** The tool of the same installation if it exists: Debian's tool on PATH requires the system account. */
const findSiblingTool = (program: string, tool: string): string => {
  const sibling = join(dirname(program), tool);
  return existsSync(sibling) ? sibling : tool;
};

/** @throws ServerError `server.refused` with the output of the tool */
const runTool = async (command: string[], env: Record<string, string>): Promise<string> => {
  const child = Bun.spawn(command, { env, cwd: '/', stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
  const [output, errors, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode === 0) return output;
  throw new ServerError('server.refused', `${name}: ${command.at(-1)} failed:\n${output}${errors}`);
};

const common = (
  dir: string,
  port: number,
  password: string,
): Omit<ManagedServerOptions, 'origin' | 'spec' | 'afterStop'> => ({
  kind: 'rabbitmq',
  url: `amqp://${rabbitmqUser}:${password}@127.0.0.1:${port}`,
  dir,
  readyTimeoutMs,
  isReady: (started) => isReady(port, started),
});

const spec = (
  options: RabbitmqOptions,
  dir: string,
  command: readonly string[],
  env: Readonly<Record<string, string>>,
): ProcessSpec => ({
  name,
  command,
  cwd: dir,
  env,
  logFile: join(dir, 'rabbitmq.log'),
  account: undefined,
  stopSignal: 'SIGTERM',
  stopTimeoutMs,
  signal: options.signal,
});

/**
 * The log belongs to this node; a handshake alone could be answered by another program that took the port.
 * Connection.Start is a method frame (1) on channel 0.
 */
const isReady = async (port: number, started: ManagedProcess): Promise<boolean> =>
  started.output().includes('Server startup complete') &&
  (await probeTcp(port, 'AMQP\x00\x00\x09\x01', (answer) => answer.startsWith('\x01\x00\x00')));
