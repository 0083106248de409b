import { afterEach, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isProcessAlive } from '../servers/process-tree.ts';
import { readKeeper, stopKeeper } from './kept-servers.ts';

const main = join(import.meta.dir, '../../cli/test.ts');
const command = `import { run } from ${JSON.stringify(main)};
process.exit(await run(process.argv.slice(1)));`;

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) {
    await stopKeeper(folder);
    rmSync(folder, { recursive: true, force: true });
  }
});

/** A folder with one test that imports the helper for Redis and prints the URL of its server. */
function createProject(): string {
  const folder = mkdtempSync(join(tmpdir(), 'uitgo-keep-'));
  folders.push(folder);
  mkdirSync(join(folder, 'src/testing'), { recursive: true });
  writeFileSync(
    join(folder, 'src/testing/redis.ts'),
    'export const url = process.env.UITGO_TEST_GEO_REDIS_URL;',
  );
  writeFileSync(
    join(folder, 'sample.test.ts'),
    `import { expect, test } from 'bun:test';
import { url } from './src/testing/redis.ts';
test('has a server', () => { console.log('server', url); expect(url).toStartWith('redis://'); });`,
  );
  return folder;
}

/** The environment of a run in a terminal: `bun test --no-orphans`, which runs this test, would end the keeper too. */
const { BUN_FEATURE_FLAG_NO_ORPHANS: _, ...terminal } = process.env;

async function runTests(cwd: string, ...args: string[]) {
  const child = Bun.spawn([process.execPath, '-e', command, '--', 'sample', ...args], {
    cwd,
    env: { ...terminal, UITGO_TEST_GEO_REDIS_URL: '', UITGO_TEST_CACHE_REDIS_URL: '' },
    stdout: 'pipe',
    stderr: 'inherit',
  });
  const [output, exitCode] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  return { server: /server (\S+)/.exec(output)?.[1], exitCode };
}

test('kept servers are used by later runs until they are stopped', async () => {
  const folder = createProject();
  const first = await runTests(folder, '--keep');
  expect(first.exitCode).toBe(0);
  const keeper = readKeeper(folder);
  expect(keeper?.urls.geoRedis).toBe(first.server ?? '');
  expect(keeper?.urls.postgres).toBeUndefined();
  expect(await runTests(folder)).toEqual(first);
  expect(await runTests(folder, '--keep')).toEqual(first);
  expect(await stopKeeper(folder)).toBe(true);
  expect(keeper !== undefined && isProcessAlive(keeper.pid)).toBe(false);
  expect(await stopKeeper(folder)).toBe(false);
  const afterwards = await runTests(folder);
  expect(afterwards.exitCode).toBe(0);
  expect(afterwards.server).not.toBe(first.server);
});
