import { join } from 'node:path';
import { handleInterrupts } from '../command/interruption.ts';
import { takeOverService } from './control.ts';
import { processCommand, type ServiceName } from './fleet.ts';

const failedExitCode = 2;

export interface ServiceArguments {
  name: ServiceName;
  /** The address of the debugger; Bun's default if undefined. */
  inspect: string | undefined;
  /** Waits for a debugger before the service starts. */
  breaks: boolean;
  /** Restarts the service when one of its files changes. */
  watches: boolean;
}

/**
 * Runs one service of the stack in this folder from its sources, under a debugger, in place of the stack's own process. The
 * stack takes the service back when it ends. Resolves to the exit code.
 */
export async function runService({ name, inspect, breaks, watches }: ServiceArguments): Promise<number> {
  const takeover = await takeOverService(join(process.cwd(), '.uitgo', 'stack'), name, process.pid);
  if (takeover.kind === 'failed') {
    console.error(takeover.message);
    return failedExitCode;
  }
  const interruption = handleInterrupts();
  const [program = process.execPath, ...script] = processCommand(name, undefined);
  const flag = breaks ? '--inspect-brk' : '--inspect';
  const child = Bun.spawn(
    [
      program,
      ...(watches ? ['--watch'] : []),
      inspect === undefined ? flag : `${flag}=${inspect}`,
      ...script,
    ],
    {
      env: { ...takeover.env, LOG_LEVEL: process.env.LOG_LEVEL ?? 'info' },
      stdin: 'inherit',
      stdout: 'inherit',
      stderr: 'inherit',
    },
  );
  const stop = () => child.kill('SIGTERM');
  interruption.signal.addEventListener('abort', stop, { once: true });
  const exitCode = await child.exited;
  const wasInterrupted = interruption.signal.aborted;
  interruption.restore();
  return wasInterrupted ? 0 : exitCode;
}
