import { dirname, join, relative, resolve, sep } from 'node:path';
import type { ServerNeeds } from './environment.ts';

const testFiles = new Bun.Glob('**/*{.test,.spec,_test,_spec}.{ts,tsx,js,jsx}');
/** Options of `bun test` whose value is a separate argument, which is not a path. */
const optionsWithValue = new Set([
  ...['-t', '--test-name-pattern', '--timeout', '--rerun-each', '--seed', '--max-concurrency'],
  ...['-r', '--preload', '--reporter', '--reporter-outfile', '--coverage-reporter', '--coverage-dir'],
]);

const noServers: ServerNeeds = { postgres: false, redis: false, rabbitmq: false };
const allServers: ServerNeeds = { postgres: true, redis: true, rabbitmq: true };

/** A test helper through which tests get a server, and the server. `testing/servers.ts` itself stands for all of them. */
const helpers: readonly { path: string; needs: Partial<ServerNeeds> }[] = [
  { path: 'src/testing/postgres.ts', needs: { postgres: true } },
  { path: 'src/testing/redis.ts', needs: { redis: true } },
  { path: 'src/testing/rabbitmq.ts', needs: { rabbitmq: true } },
  { path: 'src/testing/servers.ts', needs: allServers },
];

/**
 * The servers that a test run needs. They follow from the imports of its test files: whoever reaches the helper of
 * a server needs that server. Without a path, and where imports can not be followed, every server is needed.
 */
export async function findServerNeeds(args: readonly string[], cwd: string): Promise<ServerNeeds> {
  const filters = pathFilters(args);
  if (filters.length === 0) return allServers;
  const pending: string[] = [];
  for await (const path of testFiles.scan({ cwd, onlyFiles: true }))
    if (!path.includes(`node_modules${sep}`) && matchesFilter(path, filters, cwd))
      pending.push(join(cwd, path));
  return followImports(pending, cwd);
}

/** The arguments that `bun test` takes as paths. */
export function pathFilters(args: readonly string[]): string[] {
  return args.filter(
    (argument, index) => !argument.startsWith('-') && !optionsWithValue.has(args[index - 1] ?? ''),
  );
}

/** Like `bun test`: a filter is a part of the path, or a path of its own. */
const matchesFilter = (path: string, filters: readonly string[], cwd: string): boolean =>
  filters.some((filter) => path.includes(filter) || join(cwd, path).startsWith(resolve(cwd, filter)));

async function followImports(pending: string[], cwd: string): Promise<ServerNeeds> {
  const transpiler = new Bun.Transpiler({ loader: 'ts' });
  const seen = new Set(pending);
  let needs = noServers;
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const helper = helpers.find((candidate) => candidate.path === relative(cwd, path));
    if (helper !== undefined) {
      needs = { ...needs, ...helper.needs };
      continue;
    }
    for (const imported of importsOf(transpiler, path, await Bun.file(path).text())) {
      if (seen.has(imported)) continue;
      seen.add(imported);
      pending.push(imported);
    }
  }
  return needs;
}

/** The TypeScript files of the repository that a file imports. Packages need no servers. */
function importsOf(transpiler: Bun.Transpiler, path: string, text: string): string[] {
  const found: string[] = [];
  for (const { path: specifier } of transpiler.scanImports(text)) {
    if (!specifier.startsWith('.') && !specifier.startsWith('@')) continue;
    try {
      const resolved = Bun.resolveSync(specifier, dirname(path));
      if (resolved.endsWith('.ts') && !resolved.includes(`${sep}node_modules${sep}`)) found.push(resolved);
    } catch {
      // `bun test` reports an import that can not be resolved.
    }
  }
  return found;
}
