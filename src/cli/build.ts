import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { serviceNames } from './fleet.ts';
import { parseOptions, runCommand } from './options.ts';

const help = `bun run build: one executable for each service, in dist/

  --target T   another platform, such as bun-linux-x64 or bun-linux-arm64
  --json       end with one JSON object: {built: [{name, file, megabytes}]}
  --help       this text`;

const root = join(import.meta.dir, '../..');

export const run = (args: string[]): Promise<number> =>
  runCommand(
    'build',
    help,
    parseOptions(args, { target: { type: 'string' } }, ({ values }) => values),
    build,
  );

async function build(asked: { target?: string | undefined; json: boolean }): Promise<number> {
  mkdirSync(join(root, 'dist'), { recursive: true });
  const built: { name: string; file: string; megabytes: number }[] = [];
  for (const name of [...serviceNames, 'all']) {
    const file = join(root, 'dist', `uit-go-${name}`);
    // Syntax and whitespace only: names stay, since stack traces and metrics are read by people.
    const flags = [
      '--compile',
      '--minify-syntax',
      '--minify-whitespace',
      '--sourcemap=inline',
      '--outfile',
      file,
    ];
    const target = asked.target === undefined ? [] : [`--target=${asked.target}`];
    const child = Bun.spawn(
      [process.execPath, 'build', ...flags, ...target, join(root, 'src/apps', `${name}.ts`)],
      {
        cwd: root,
        stdin: 'ignore',
        stdout: 'ignore',
        stderr: 'inherit',
      },
    );
    if ((await child.exited) !== 0) {
      console.error(`${name} could not be built`);
      return 1;
    }
    built.push({ name, file, megabytes: Math.round(Bun.file(file).size / 1e6) });
    console.error(`built dist/uit-go-${name}`);
  }
  if (asked.json) console.log(JSON.stringify({ built }));
  return 0;
}
