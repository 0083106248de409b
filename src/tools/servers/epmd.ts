import { join } from 'node:path';
import { withPort } from './ports.ts';
import { awaitReady, type ProcessSpec, startProcess } from './process.ts';
import { probeTcp } from './tcp.ts';
import { ServerError } from './types.ts';

const stopTimeoutMs = 2_000;
const readyTimeoutMs = 10_000;
/** The `names` request (110) of the epmd protocol: a length of one byte, then the request number. */
const namesRequest = '\x00\x01n';

export type Epmd = {
  readonly port: number;
  pids(): number[];
  stop(): Promise<void>;
};

/**
 * Starts a separate Erlang name service for this node. By default the node would start a shared daemon on the
 * machine's common port that nothing stops.
 */
export const startEpmd = (dir: string, signal: AbortSignal | undefined): Promise<Epmd> =>
  withPort(undefined, async (port) => {
    const spec: ProcessSpec = {
      name: 'epmd (for RabbitMQ)',
      command: [epmdProgram(), '-port', String(port), '-address', '127.0.0.1'],
      cwd: '/',
      env: { PATH: process.env.PATH ?? '' },
      logFile: join(dir, 'epmd.log'),
      account: undefined,
      stopSignal: 'SIGTERM',
      stopTimeoutMs,
      signal,
    };
    const started = startProcess(spec);
    await awaitReady(spec, started, readyTimeoutMs, () => probeTcp(port, namesRequest, () => true));
    return { port, pids: started.pids, stop: started.stop };
  });

const epmdProgram = (): string => {
  const path = `${process.env.PATH ?? ''}:/usr/bin:/opt/homebrew/bin`;
  const onPath = Bun.which('epmd', { PATH: path });
  if (onPath !== null) return onPath;
  const erl = Bun.which('erl', { PATH: path });
  const root =
    erl === null
      ? ''
      : Bun.spawnSync([
          erl,
          '-noshell',
          '-eval',
          'io:format("~s", [code:root_dir()]), halt().',
        ]).stdout.toString();
  for (const found of root === '' ? [] : new Bun.Glob('erts-*/bin/epmd').scanSync(root)) {
    return join(root, found);
  }
  throw new ServerError('server.missing', 'RabbitMQ needs epmd, a part of Erlang: it is not on PATH');
};
