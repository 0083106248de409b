import { type ReportProgress, ServerError } from './types.ts';

const answerTimeoutMs = 3_000;

let available: Promise<boolean> | undefined;

/** Whether a Docker engine responds; checked once per process. A client without an engine does not count. */
export const isDockerAvailable = (): Promise<boolean> => {
  available ??= checkEngine();
  return available;
};

const checkEngine = async (): Promise<boolean> => {
  if (Bun.which('docker') === null) return false;
  const child = Bun.spawn(['docker', 'info', '--format', '{{.ServerVersion}}'], {
    env: process.env,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'ignore',
    timeout: answerTimeoutMs,
    killSignal: 'SIGKILL',
  });
  // `docker info` of old clients exits with 0 even if no engine responded, so the version is checked too.
  const version = await new Response(child.stdout).text();
  return (await child.exited) === 0 && version.trim() !== '';
};

/** Pulls the image unless it is present. */
export const pullImage = async (image: string, report: ReportProgress): Promise<void> => {
  const present = Bun.spawnSync(['docker', 'image', 'inspect', image], {
    env: process.env,
    stdout: 'ignore',
  });
  if (present.exitCode === 0) return;
  report(`pulling the image ${image}`);
  const pull = Bun.spawn(['docker', 'pull', '--quiet', image], {
    env: process.env,
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  });
  const errors = await new Response(pull.stderr).text();
  if ((await pull.exited) !== 0) {
    throw new ServerError('server.missing', `docker pull ${image} failed:\n${errors}`);
  }
};

export type Container = {
  readonly name: string;
  readonly image: string;
  /** The host port on 127.0.0.1. */
  readonly port: number;
  readonly innerPort: number;
  readonly options: readonly string[];
  readonly command: readonly string[];
};

/**
 * The command that runs the container in the foreground: its output is logged, the client forwards SIGTERM, and
 * `--rm` removes the container afterwards.
 */
export const containerCommand = (container: Container): string[] => [
  'docker',
  'run',
  '--rm',
  '--name',
  container.name,
  '-p',
  `127.0.0.1:${container.port}:${container.innerPort}`,
  ...container.options,
  container.image,
  ...container.command,
];

/** Signals a container. SIGSTOP and SIGCONT pause and resume all of its processes. */
export const signalContainer = (name: string, signal: NodeJS.Signals): void => {
  const command =
    signal === 'SIGSTOP'
      ? ['docker', 'pause', name]
      : signal === 'SIGCONT'
        ? ['docker', 'unpause', name]
        : ['docker', 'kill', '--signal', signal, name];
  Bun.spawnSync(command, { env: process.env, stdout: 'ignore', stderr: 'ignore' });
};
