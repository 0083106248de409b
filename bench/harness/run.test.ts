import { expect, test } from 'bun:test';
import type { Bench } from './bench.ts';
import { runBench } from './run.ts';

const options = {
  rounds: 1,
  seconds: 0.01,
  reportProgress: () => undefined,
  signal: new AbortController().signal,
};

const benchOf = (run: Bench['run']): Bench => ({ name: 'sample', describes: 'a test', figures: [], run });

test('a bench that fails half way reports the failure and the results of its parts', async () => {
  const report = await runBench(
    benchOf(async ({ savePart }) => {
      savePart('first part', { perSecond: 7 });
      throw new Error('the second part lost its server');
    }),
    options,
  );
  expect(report).toMatchObject({
    name: 'sample',
    failed: 'the second part lost its server',
    kept: { 'first part': { perSecond: 7 } },
  });
});

test('a bench that fails before its first result throws', async () => {
  const failing = benchOf(() => Promise.reject(new Error('no server')));
  await expect(runBench(failing, options)).rejects.toThrow('no server');
});

test('a missing program that can not be installed is named before anything starts', async () => {
  let started = false;
  const bench = benchOf(async () => {
    started = true;
    return {};
  });
  const need = {
    name: 'Nothing',
    aptPackage: 'wrk',
    programs: ['no-such-program-of-ours'],
    variables: [],
  } as const;
  const running = runBench({ ...bench, programs: [need] }, { ...options, mayInstall: () => false });
  await expect(running).rejects.toThrow('Nothing not found on PATH. Install: sudo apt-get install wrk');
  expect(started).toBe(false);
});
