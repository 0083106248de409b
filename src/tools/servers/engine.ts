import { existsSync } from 'node:fs';
import { isDockerAvailable } from './docker.ts';
import { type AptPackage, canInstallPackages, installPackages } from './install.ts';
import { type ReportProgress, ServerError } from './types.ts';

/** What runs a server: a Docker engine or a program on this machine. */
export type ServerEngine = { readonly via: 'docker' } | { readonly via: 'path'; readonly program: string };

export type ServerProgram = {
  readonly name: string;
  readonly aptPackage: AptPackage;
  /** Places to look at before PATH; a bare name is looked up there. */
  readonly programs: readonly string[];
  /** How the user may name servers of their own instead. */
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
  // Debian's /usr/sbin/rabbitmq-server insists on the system's account and folders.
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

const thisMachine = (): EngineSearch => ({
  path: searchPath(),
  mayInstall: canInstallPackages,
  isDockerAvailable,
});

/**
 * Finds what runs the servers, in this order: a Docker engine, programs on PATH, apt-get.
 * All that is missing is installed in one go.
 * @throws ServerError `server.missing`, saying what the user can do
 */
export const findEngines = async (
  needs: readonly ServerProgram[],
  report: ReportProgress,
  search: EngineSearch = thisMachine(),
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
 * Installs with apt-get, in one go, what is on PATH of none of these.
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
  if (!mayInstall()) throw notInstalled(missing);
  const packages = missing.map((need) => need.aptPackage);
  const isPresent = (name: AptPackage) =>
    needs.some((need) => need.aptPackage === name && findProgram(need, path));
  await installPackages(packages, isPresent, report);
};

/** Where the program is. @throws ServerError `server.missing` */
export const resolveProgram = (need: ServerProgram, path = searchPath()): string => {
  const program = findProgram(need, path);
  if (program === undefined) throw notInstalled([need]);
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

const notInstalled = (needs: readonly ServerProgram[]): ServerError => {
  const names = needs.map((need) => need.name).join(' and ');
  const packages = needs.map((need) => need.aptPackage).join(' ');
  const variables = needs.flatMap((need) => need.variables).join(', ');
  const installing = `sudo apt-get install ${packages}   (macOS: brew install ${homebrew(needs)})`;
  // Only a server can come from a Docker engine or be given by URL.
  if (variables === '') {
    return new ServerError('server.missing', `${names} not found on PATH. Install: ${installing}`);
  }
  return new ServerError(
    'server.missing',
    [
      `${names} not found: no Docker engine answers, and no program of it is on PATH. Either`,
      `  - install it:        ${installing}`,
      '  - or start Docker,   and run this command again',
      `  - or give servers:   set ${variables} (for the tests: UITGO_TEST_… of the same)`,
    ].join('\n'),
  );
};

const homebrew = (needs: readonly ServerProgram[]): string =>
  needs.map((need) => need.aptPackage.replace('-server', '')).join(' ');
