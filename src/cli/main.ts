// The one entry of all commands. It imports nothing from packages, since it is what installs them.
import { existsSync } from 'node:fs';

/** A command: takes its arguments, gives the exit code. */
type Command = (args: string[]) => Promise<number>;

const commands: Record<string, { does: string; load: () => Promise<{ run: Command }> }> = {
  dev: { does: 'the whole system in one process, with a small city driving', load: () => import('./dev.ts') },
  stack: {
    does: 'the fleet on this machine, on real PostgreSQL, Redis and RabbitMQ',
    load: () => import('./stack.ts'),
  },
  city: { does: 'the city simulator, against any URL', load: () => import('./city.ts') },
  chaos: {
    does: 'faults against the real system while a city drives, then the invariants',
    load: () => import('./chaos.ts'),
  },
  sim: { does: 'the whole system under one seeded scheduler, with faults', load: () => import('./sim.ts') },
  fuzz: { does: 'hostile requests against the edge', load: () => import('./fuzz.ts') },
  dlq: { does: 'dead letters: list, show, redrive, drop', load: () => import('./dlq.ts') },
  test: { does: 'every test, with the servers that they need', load: () => import('./test.ts') },
  check: { does: 'format, lint, types and tidiness', load: () => import('./check.ts') },
  bench: { does: 'benchmarks: ours against a baseline, in turns', load: () => import('./bench.ts') },
  build: { does: 'one executable for each service, in dist/', load: () => import('./build.ts') },
};

const root = `${import.meta.dir}/../..`;
const stampFile = `${root}/node_modules/.installed-lock`;

async function main(): Promise<number> {
  const [name = '', ...args] = process.argv.slice(2);
  const command = commands[name];
  if (command === undefined) {
    console.log(usage());
    return name === '' || name === '--help' ? 0 : 2;
  }
  // The module loader has seen that the packages were not there and would not look again: a new start does.
  if (await install()) process.execve?.(process.execPath, process.argv, process.env);
  const { run } = await command.load();
  return run(args);
}

/** Installs what the lockfile names; false when that was done already. */
async function install(): Promise<boolean> {
  const lock = Bun.hash(await Bun.file(`${root}/bun.lock`).text()).toString();
  if (existsSync(stampFile) && (await Bun.file(stampFile).text()) === lock) return false;
  console.error('installing dependencies …');
  const child = Bun.spawn([process.execPath, 'install', '--frozen-lockfile'], {
    cwd: root,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`the dependencies could not be installed:\n${out}${err}`);
  await Bun.write(stampFile, lock);
  return true;
}

function usage(): string {
  const lines = Object.entries(commands).map(([name, { does }]) => `  bun run ${name.padEnd(6)} ${does}`);
  return `UIT-Go\n\n${lines.join('\n')}\n\nEach takes --help.`;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
