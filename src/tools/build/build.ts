import { mkdirSync, rmSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { executablePath, type ProcessName, processNames } from '../local/fleet.ts';

const root = join(import.meta.dir, '../../..');

export interface BuildArguments {
  outdir: string;
  target?: string | undefined;
  json: boolean;
}

/** Builds all executables. Resolves to the exit code: 0 success, 1 a build failed. */
export async function buildExecutables({ outdir, target, json }: BuildArguments): Promise<number> {
  const folder = resolve(root, outdir);
  mkdirSync(folder, { recursive: true });
  const flags = [...compileFlags, `--define=process.env.UIT_GO_VERSION=${JSON.stringify(await version())}`];
  if (target !== undefined) flags.push(`--target=${target}`);
  const built: { name: string; file: string; megabytes: number }[] = [];
  for (const name of processNames) {
    const file = executablePath(folder, name);
    if (!(await compile(name, file, flags))) {
      console.error(`${name} failed to build`);
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
  // Starts in a third of the time. Modules can then have no top-level `await`.
  '--bytecode',
  // Whitespace only. Elysia derives from a handler's source text whether it is asynchronous and what it reads from the
  // context. `--minify-syntax` rewrites that text, and built services answered 400 where the sources answer 200.
  // `--minify-identifiers` would remove the names from stack traces and metrics.
  '--minify-whitespace',
  '--sourcemap=inline',
  // Elysia needs it only for uploaded files, which no route accepts.
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
  // The executable contains its source map; Bun also writes a copy beside it.
  rmSync(`${file}.map`, { force: true });
  return isBuilt;
}

/** The version with the commit, such as `0.1.0+8d6b3f1`; without the commit outside of a repository. */
async function version(): Promise<string> {
  const { version: number } = await Bun.file(join(root, 'package.json')).json();
  const git = Bun.spawnSync(['git', 'rev-parse', '--short', 'HEAD'], { cwd: root, stderr: 'ignore' });
  return git.success ? `${number}+${git.stdout.toString().trim()}` : number;
}
