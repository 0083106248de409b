import { afterEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../testing/until.ts';
import { isProcessAlive, processTree } from '../tools/servers/process-tree.ts';
import { testServerVariables } from '../tools/test/environment.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

const command = `import { run } from ${JSON.stringify(join(import.meta.dir, 'test.ts'))};
process.exit(await run(process.argv.slice(1)));`;

/** Runs `bun run test` in a folder with one test file, with external servers that are never called. */
const start = (testFile: string, args: string[] = []) => {
  const folder = mkdtempSync(join(tmpdir(), 'uitgo-command-'));
  folders.push(folder);
  writeFileSync(join(folder, 'sample.test.ts'), `import { expect, test } from 'bun:test';\n${testFile}`);
  const given = Object.values(testServerVariables).map((variable) => [variable, 'redis://given']);
  return Bun.spawn([process.execPath, '-e', command, '--', ...args], {
    cwd: folder,
    env: { ...process.env, ...Object.fromEntries(given) },
    stdout: 'pipe',
    stderr: 'pipe',
  });
};

const finish = async (child: ReturnType<typeof start>) => {
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { lastLine: stdout.trimEnd().split('\n').at(-1), stderr, exitCode };
};

const runTests = (testFile: string, args?: string[]) => finish(start(testFile, args));

describe('the last line and the exit code of a run', () => {
  test('are 0 failed and exit code 0 if all tests pass', async () => {
    const { lastLine, exitCode } = await runTests(`test('a', () => {}); test('b', () => {});`);
    expect([lastLine, exitCode]).toEqual(['2 passed, 0 failed', 0]);
  });

  test('are 1 failed and exit code 1 if one test fails', async () => {
    const { lastLine, exitCode } = await runTests(`test('a', () => {}); test('b', () => expect(1).toBe(2));`);
    expect([lastLine, exitCode]).toEqual(['1 passed, 1 failed', 1]);
  });

  test('count a skipped test as failed', async () => {
    const { lastLine, stderr, exitCode } = await runTests(
      `test('a', () => {}); test['skip']('b', () => {});`,
    );
    expect([lastLine, exitCode]).toEqual(['1 passed, 1 failed', 1]);
    expect(stderr).toContain('1 skipped: a skipped test counts as failed');
  });

  test('count a file that does not load as failed', async () => {
    const { lastLine, exitCode } = await runTests(`throw new Error('not today');`);
    expect([lastLine, exitCode]).toEqual(['0 passed, 1 failed', 1]);
  });

  test('report a failure for a path without tests', async () => {
    const { lastLine, exitCode } = await runTests(`test('a', () => {});`, ['modules/nowhere']);
    expect([lastLine, exitCode]).toEqual(['0 passed, 1 failed', 1]);
  });

  test('--json ends with one object', async () => {
    const { lastLine } = await runTests(`console.log('noise'); test('a', () => {});`, ['--json']);
    expect(JSON.parse(lastLine ?? '')).toMatchObject({ passed: 1, failed: 0, skipped: 0, exitCode: 0 });
  });
});

test('the tests find the server URLs in their environment', async () => {
  const { lastLine } = await runTests(
    `test('a', () => expect(process.env.UITGO_TEST_AMQP_URL).toBe('redis://given'));`,
  );
  expect(lastLine).toBe('1 passed, 0 failed');
});

test('SIGINT stops the tests and all of their processes, with exit code 130', async () => {
  const child = start(`test('a', async () => { await Bun.sleep(60_000); });`);
  const tree = await until(() => (processTree(child.pid).length >= 2 ? processTree(child.pid) : null));
  child.kill('SIGINT');
  const { exitCode } = await finish(child);
  expect(exitCode).toBe(130);
  expect(tree.filter(isProcessAlive)).toEqual([]);
});
