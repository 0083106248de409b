import { resolveProgram } from '../../src/tools/servers/index.ts';
import { redisBenchmark } from '../harness/programs.ts';
import { type Measure, measure } from '../harness/rounds.ts';

export interface RedisBenchmarkOptions {
  url: string;
  /** Commands per pipeline. */
  width: number;
  /** Distinct members of the set. */
  members: number;
  pids: () => readonly number[];
}

/**
 * Runs GEOADD with `redis-benchmark`: one connection, `width` commands per pipeline, each with one member at a
 * random place within a tenth of a degree. The tool runs a number of commands, not a time, so the number is
 * derived from the speed of the last run.
 */
export function createRedisBenchmark({ url, width, members, pids }: RedisBenchmarkOptions): Measure {
  const { hostname, port, password } = new URL(url);
  const program = resolveProgram(redisBenchmark);
  let perSecond = 250_000;

  return async (seconds) => {
    const commands = Math.max(width, Math.round((perSecond * seconds) / width) * width);
    const measured = await measure(async () => {
      const child = Bun.spawn(
        [
          program,
          ...['-h', hostname, '-p', port, '-a', password, '-c', '1', '-P', String(width), '-q'],
          ...['-n', String(commands), '-r', String(members)],
          ...['GEOADD', 'baseline', '__rand_int__e-6', '__rand_int__e-6'],
          '01a00000-0000-7000-8000-__rand_int__',
        ],
        { stdout: 'pipe', stderr: 'pipe' },
      );
      const output = await new Response(child.stdout).text();
      if ((await child.exited) !== 0) throw new Error(`redis-benchmark failed: ${output}`);
      return commands;
    }, pids);
    perSecond = measured.operations / measured.seconds;
    return measured;
  };
}
