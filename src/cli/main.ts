// The entry of all commands. It imports no package, because it installs the packages.
import { existsSync } from 'node:fs';

/** A command takes its arguments and resolves to its exit code. */
type Command = (args: string[]) => Promise<number>;

const commands: Record<string, { summary: string; load: () => Promise<{ run: Command }> }> = {
  dev: {
    summary: 'run the whole system in one process, with a small simulated city',
    load: () => import('./dev.ts'),
  },
  stack: {
    summary: 'run the fleet on this machine, on real PostgreSQL, Redis and RabbitMQ',
    load: () => import('./stack.ts'),
  },
  service: { summary: 'debug one service of the running stack', load: () => import('./service.ts') },
  city: { summary: 'simulate a city against any edge', load: () => import('./city.ts') },
  chaos: {
    summary: 'inject faults into the real system under load, then check the invariants',
    load: () => import('./chaos.ts'),
  },
  sim: {
    summary: 'simulate the whole system under one seeded scheduler, with faults',
    load: () => import('./sim.ts'),
  },
  fuzz: { summary: 'send hostile requests to the edge', load: () => import('./fuzz.ts') },
  dlq: { summary: 'list, show, redrive or drop dead letters', load: () => import('./dlq.ts') },
  test: { summary: 'run tests, with the servers that they need', load: () => import('./test.ts') },
  check: {
    summary: 'check format, lint, types and the rules of the repository',
    load: () => import('./check.ts'),
  },
  bench: { summary: 'compare benchmarks with a baseline', load: () => import('./bench.ts') },
  build: { summary: 'build one executable for each service in dist/', load: () => import('./build.ts') },
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
  // The module loader caches that packages are missing, so the process starts again.
  if (await install()) process.execve?.(process.execPath, process.argv, process.env);
  const { run } = await command.load();
  return run(args);
}

/** Installs the packages of the lockfile; false if they are installed already. */
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
  if (code !== 0) throw new Error(`failed to install dependencies:\n${out}${err}`);
  await Bun.write(stampFile, lock);
  return true;
}

function usage(): string {
  const lines = Object.entries(commands).map(
    ([name, { summary }]) => `  bun run ${name.padEnd(7)} ${summary}`,
  );
  return `UIT-Go\n\n${lines.join('\n')}\n\nEach command accepts --help.`;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  },
);
