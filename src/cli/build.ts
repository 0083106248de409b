import { mkdirSync, rmSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { parseOptions, runCommand } from '../tools/command/options.ts';
import { executablePath, type ProcessName, processNames } from '../tools/fleet.ts';

const help = `bun run build: one executable for each service, and one for all of them in one process

  --outdir D   where they are written (dist)
  --target T   another platform, such as bun-linux-x64 or bun-linux-arm64
  --json       end with one JSON object: {built: [{name, file, megabytes}]}
  --help       this text`;

const root = join(import.meta.dir, '../..');

export const run = (args: string[]): Promise<number> =>
  runCommand(
    'build',
    help,
    parseOptions(
      args,
      { outdir: { type: 'string', default: 'dist' }, target: { type: 'string' } },
      ({ values }) => values,
    ),
    build,
  );

interface BuildArguments {
  outdir: string;
  target?: string | undefined;
  json: boolean;
}

async function build({ outdir, target, json }: BuildArguments): Promise<number> {
  const folder = resolve(root, outdir);
  mkdirSync(folder, { recursive: true });
  const flags = [...compileFlags, `--define=process.env.UIT_GO_VERSION=${JSON.stringify(await version())}`];
  if (target !== undefined) flags.push(`--target=${target}`);
  const built: { name: string; file: string; megabytes: number }[] = [];
  for (const name of processNames) {
    const file = executablePath(folder, name);
    if (!(await compile(name, file, flags))) {
      console.error(`${name} could not be built`);
      return 1;
    }
    const megabytes = Math.round(Bun.file(file).size / 1e5) / 10;
    built.push({ name, file, megabytes });
    console.error(`built ${relative(process.cwd(), file)} (${megabytes} MB)`);
  }
  if (json) console.log(JSON.stringify({ built }));
  return 0;
}

const compileFlags = [
  '--compile',
  // Starts in a third of the time. It allows no `await` at the top level of a module.
  '--bytecode',
  // Whitespace only. Elysia decides from a handler's source text whether it is asynchronous and what it
  // reads of the context: `--minify-syntax` rewrites that text, and built services answered 400 where their
  // source answers 200. `--minify-identifiers` would take the names out of stack traces and metrics.
  '--minify-whitespace',
  '--sourcemap=inline',
  // Elysia asks for it only to look into uploaded files, of which there are none.
  '--external=file-type',
];

async function compile(name: ProcessName, file: string, flags: readonly string[]): Promise<boolean> {
  const entry = join(root, 'src/apps', `${name}.ts`);
  const child = Bun.spawn([process.execPath, 'build', ...flags, '--outfile', file, entry], {
    cwd: root,
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'inherit',
  });
  const isBuilt = (await child.exited) === 0;
  // The executable holds its source map; Bun writes a second copy beside it.
  rmSync(`${file}.map`, { force: true });
  return isBuilt;
}

/** `0.1.0+8d6b3f1`; without the commit where there is no repository. */
async function version(): Promise<string> {
  const { version: number } = await Bun.file(join(root, 'package.json')).json();
  const git = Bun.spawnSync(['git', 'rev-parse', '--short', 'HEAD'], { cwd: root, stderr: 'ignore' });
  return git.success ? `${number}+${git.stdout.toString().trim()}` : number;
}
