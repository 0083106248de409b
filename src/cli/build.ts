import { buildExecutables } from '../tools/build/build.ts';
import { parseOptions, runCommand } from '../tools/command/options.ts';

const help = `bun run build: one executable for each service, and one for all of them in one process

  --outdir D   the output folder (dist)
  --target T   the target platform, such as bun-linux-x64 or bun-linux-arm64
  --json       end with one JSON object: {built: [{name, file, megabytes}]}
  --help       show this help`;

/** `bun run build`. Resolves to the exit code: 0 success, 1 a build failed, 2 wrong usage. */
export const run = (args: string[]): Promise<number> =>
  runCommand(
    'build',
    help,
    parseOptions(
      args,
      { outdir: { type: 'string', default: 'dist' }, target: { type: 'string' } },
      ({ values }) => values,
    ),
    buildExecutables,
  );
