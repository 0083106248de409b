import { afterAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../testing/until.ts';
import { awaitReady, type ProcessSpec, startProcess } from './process.ts';
import { isProcessAlive, processTree } from './process-tree.ts';

const dir = mkdtempSync(join(tmpdir(), 'uitgo-process-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const shell = (script: string, stopTimeoutMs = 5_000): ProcessSpec => ({
  name: 'a shell',
  command: ['/bin/sh', '-c', script],
  cwd: '/',
  env: { PATH: '/usr/bin:/bin' },
  logFile: join(dir, 'shell.log'),
  account: undefined,
  stopSignal: 'SIGTERM',
  stopTimeoutMs,
});

const says = (text: string) => async (output: () => string) => output().includes(text);

describe('stop', () => {
  test('stops a program with its stop signal and waits for it', async () => {
    const spec = shell('trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.02; done');
    const started = startProcess(spec);
    await awaitReady(spec, started, 5_000, () => says('up')(started.output));
    await started.stop();
    expect(started.output()).toContain('bye');
    expect(isProcessAlive(started.pid)).toBe(false);
  });

  test('kills a program that ignores the stop signal after the timeout, with its children', async () => {
    const spec = shell('trap "" TERM; sleep 1000 & echo up; while :; do sleep 1; done', 100);
    const started = startProcess(spec);
    await awaitReady(spec, started, 5_000, () => says('up')(started.output));
    const tree = await until(() => (started.pids().length >= 2 ? started.pids() : null));
    await started.stop();
    expect(tree.filter(isProcessAlive)).toEqual([]);
  });

  test('stops a paused program', async () => {
    const spec = shell('echo up; exec sleep 1000');
    const started = startProcess(spec);
    await awaitReady(spec, started, 5_000, () => says('up')(started.output));
    started.signal('SIGSTOP');
    await started.stop();
    expect(isProcessAlive(started.pid)).toBe(false);
  });
});

describe('awaitReady', () => {
  test('reports the end of the log when the program exits first', async () => {
    const spec = shell('echo the disk is full >&2; exit 3');
    const failure = await awaitReady(spec, startProcess(spec), 5_000, async () => false).catch(String);
    expect(failure).toContain('a shell exited while starting');
    expect(failure).toContain('the disk is full');
  });

  test('stops a program that is not ready in time', async () => {
    const spec = shell('exec sleep 1000');
    const started = startProcess(spec);
    await expect(awaitReady(spec, started, 100, async () => false)).rejects.toMatchObject({
      code: 'server.not_ready',
    });
    expect(isProcessAlive(started.pid)).toBe(false);
  });

  test('rejects when the caller aborts', async () => {
    const spec = { ...shell('exec sleep 1000'), signal: AbortSignal.abort() };
    const started = startProcess(spec);
    await expect(awaitReady(spec, started, 5_000, async () => false)).rejects.toMatchObject({
      code: 'server.interrupted',
    });
    expect(isProcessAlive(started.pid)).toBe(false);
  });
});

test('a program does not outlive its parent process, even if that is killed', async () => {
  const pidFile = join(dir, 'pid');
  const script = `
    const { startProcess } = await import(${JSON.stringify(join(import.meta.dir, 'process.ts'))});
    const started = startProcess({ name: 'x', command: ['sleep', '1000'], cwd: '/', env: process.env,
      logFile: ${JSON.stringify(join(dir, 'x.log'))}, account: undefined, stopSignal: 'SIGTERM',
      stopTimeoutMs: 1000 });
    await Bun.sleep(200);
    await Bun.write(${JSON.stringify(pidFile)}, String(started.pid));
    process.kill(process.pid, 'SIGKILL');`;
  await Bun.spawn([process.execPath, '-e', script], { stdout: 'ignore' }).exited;
  expect(existsSync(pidFile)).toBe(true);
  const pid = Number(readFileSync(pidFile, 'utf8'));
  await until(() => !isProcessAlive(pid), { describe: 'the orphan to end' });
});

test('the tree of a process contains the process and its descendants', async () => {
  const spec = shell('(sleep 1000 & wait) & wait');
  const started = startProcess(spec);
  const tree = await until(() => (processTree(started.pid).length >= 3 ? processTree(started.pid) : null));
  expect(tree[0]).toBe(started.pid);
  expect(processTree(process.pid)).toEqual(expect.arrayContaining(tree));
  started.signal('SIGKILL');
  await started.stop();
  expect(tree.filter(isProcessAlive)).toEqual([]);
});
