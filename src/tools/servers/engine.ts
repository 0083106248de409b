import { existsSync } from 'node:fs';
import { isDockerAvailable } from './docker.ts';
import { type AptPackage, canInstallPackages, installPackages } from './install.ts';
import { type ReportProgress, ServerError } from './types.ts';

/** How a server is run: in Docker or as a local program. */
export type ServerEngine = { readonly via: 'docker' } | { readonly via: 'path'; readonly program: string };

export type ServerProgram = {
  readonly name: string;
  readonly aptPackage: AptPackage;
  /** Candidates in order: absolute paths, or names that are looked up on PATH. */
  readonly programs: readonly string[];
  /** Environment variables with which the user can pass their own servers instead. */
  readonly variables: readonly string[];
};

export const redisProgram: ServerProgram = {
  name: 'Redis',
  aptPackage: 'redis-server',
  programs: ['redis-server'],
  variables: ['GEO_REDIS_URL', 'CACHE_REDIS_URL'],
};

export const rabbitmqProgram: ServerProgram = {
  name: 'RabbitMQ',
  aptPackage: 'rabbitmq-server',
  // Debian's /usr/sbin/rabbitmq-server requires the system account and folders.
  programs: ['/usr/lib/rabbitmq/bin/rabbitmq-server', 'rabbitmq-server'],
  variables: ['AMQP_URL'],
};

export type EngineSearch = {
  readonly path: string;
  readonly mayInstall: () => boolean;
  readonly isDockerAvailable: () => Promise<boolean>;
};

const searchPath = (): string =>
  `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/opt/homebrew/sbin:/opt/homebrew/bin`;

const localSearch = (): EngineSearch => ({
  path: searchPath(),
  mayInstall: canInstallPackages,
  isDockerAvailable,
});

/**
 * Finds how to run the servers, in this order: Docker, programs on PATH, apt-get. Missing programs are installed
 * together.
 * @throws ServerError `server.missing`, saying what the user can do
 */
export const findEngines = async (
  needs: readonly ServerProgram[],
  report: ReportProgress,
  search: EngineSearch = localSearch(),
): Promise<Map<ServerProgram, ServerEngine>> => {
  const engines = new Map<ServerProgram, ServerEngine>();
  if (needs.length === 0) return engines;
  if (await search.isDockerAvailable()) {
    for (const need of needs) engines.set(need, { via: 'docker' });
    return engines;
  }
  await installPrograms(needs, report, search.mayInstall, search.path);
  for (const need of needs) engines.set(need, { via: 'path', program: resolveProgram(need, search.path) });
  return engines;
};

/**
 * Installs the programs that are not on PATH with one apt-get run.
 * @throws ServerError `server.missing`, saying what the user can do
 */
export const installPrograms = async (
  needs: readonly ServerProgram[],
  report: ReportProgress,
  mayInstall: () => boolean = canInstallPackages,
  path = searchPath(),
): Promise<void> => {
  const missing = needs.filter((need) => findProgram(need, path) === undefined);
  if (missing.length === 0) return;
  if (!mayInstall()) throw createMissingError(missing);
  const packages = missing.map((need) => need.aptPackage);
  const isPresent = (name: AptPackage) =>
    needs.some((need) => need.aptPackage === name && findProgram(need, path));
  await installPackages(packages, isPresent, report);
};

/** Returns the path of the program. @throws ServerError `server.missing` */
export const resolveProgram = (need: ServerProgram, path = searchPath()): string => {
  const program = findProgram(need, path);
  if (program === undefined) throw createMissingError([need]);
  return program;
};

const findProgram = (need: ServerProgram, path: string): string | undefined => {
  for (const program of need.programs) {
    if (program.startsWith('/') && existsSync(program)) return program;
    const found = Bun.which(program, { PATH: path });
    if (found !== null) return found;
  }
  return undefined;
};

const createMissingError = (needs: readonly ServerProgram[]): ServerError => {
  const names = needs.map((need) => need.name).join(' and ');
  const packages = needs.map((need) => need.aptPackage).join(' ');
  const variables = needs.flatMap((need) => need.variables).join(', ');
  const installing = `sudo apt-get install ${packages}   (macOS: brew install ${homebrew(needs)})`;
  // Only servers can run in Docker or be passed by URL.
  if (variables === '') {
    return new ServerError('server.missing', `${names} not found on PATH. Install: ${installing}`);
  }
  return new ServerError(
    'server.missing',
    [
      `${names} not found: no Docker engine responds, and the program is not on PATH. Either`,
      `  - install it:        ${installing}`,
      '  - or start Docker,   and run this command again',
      `  - or pass servers:   set ${variables} (for tests: the same names with the prefix UITGO_TEST_)`,
    ].join('\n'),
  );
};

const homebrew = (needs: readonly ServerProgram[]): string =>
  needs.map((need) => need.aptPackage.replace('-server', '')).join(' ');
