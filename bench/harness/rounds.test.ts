import { describe, expect, test } from 'bun:test';
import type { BenchOptions } from './bench.ts';
import { cpuMicrosOf } from './cpu.ts';
import { interleave, type Measure, measure, runClosedLoop, summarise } from './rounds.ts';

const options = (rounds: number, lines: string[] = []): BenchOptions => ({
  rounds,
  seconds: 0.01,
  startServers: () => Promise.reject(new Error('not here')),
  reportProgress: (line) => void lines.push(line),
  savePart: () => undefined,
  signal: new AbortController().signal,
});

test('rounds alternate their order, after one warm-up run of each side', async () => {
  const ran: string[] = [];
  const side = (name: string, operations: number): Measure => {
    return async (seconds) => {
      ran.push(name);
      return { operations, seconds, cpuMicros: operations * 5 };
    };
  };
  const result = await interleave('test', { ours: side('o', 30), baseline: side('b', 60) }, options(3));
  expect(ran.join('')).toBe('ob' + 'ob' + 'bo' + 'ob');
  expect(result).toMatchObject({ perSecond: 3000, baselinePerSecond: 6000, ratio: 0.5, rounds: 3 });
});

test('an aborted bench stops before its next run', async () => {
  const stopping = new AbortController();
  const abortingSide: Measure = async () => {
    stopping.abort();
    return { operations: 1, seconds: 1, cpuMicros: 1 };
  };
  const running = interleave(
    'test',
    { ours: abortingSide, baseline: abortingSide },
    { ...options(3), signal: stopping.signal },
  );
  await expect(running).rejects.toThrow(/abort/i);
});

test('the ratio is the median of the ratios of the rounds, not the ratio of the medians', () => {
  const of = (operations: number) => ({ operations, seconds: 2, cpuMicros: operations * 10 });
  const result = summarise({
    ours: [of(100), of(900), of(50)],
    baseline: [of(200), of(1000), of(40)],
  });
  expect(result).toEqual({
    perSecond: 50,
    baselinePerSecond: 100,
    ratio: 0.9,
    cpuMicrosPerOp: 10,
    baselineCpuMicrosPerOp: 10,
    serverCpuMicrosPerOp: 0,
    baselineServerCpuMicrosPerOp: 0,
    rounds: 3,
    ratioRange: [0.5, 1.25],
  });
});

describe('a measurement', () => {
  test('of a closed loop keeps exactly `inFlight` calls in flight and counts them', async () => {
    let active = 0;
    let activeMax = 0;
    let calls = 0;
    const counted = await runClosedLoop(3, 0.02, async () => {
      activeMax = Math.max(activeMax, ++active);
      calls++;
      await new Promise<void>((resolve) => setImmediate(resolve));
      active--;
    });
    expect(counted).toBe(calls);
    expect(activeMax).toBe(3);
  });

  test('includes the CPU time of this process', async () => {
    const result = await measure(async () => {
      let sum = 0;
      for (let at = 0; at < 5e6; at++) sum += Math.sqrt(at);
      return sum > 0 ? 7 : 0;
    });
    expect(result.operations).toBe(7);
    expect(result.cpuMicros).toBeGreaterThan(0);
    expect(result.seconds).toBeGreaterThan(0);
  });

  test('includes the CPU time of other processes, also when one of them has ended', async () => {
    const before = cpuMicrosOf([process.pid]);
    const result = await measure(
      async () => {
        while (cpuMicrosOf([process.pid]) < before + 30_000);
        return 1;
      },
      () => [process.pid, 2 ** 30],
    );
    expect(result.serverCpuMicros).toBeGreaterThan(0);
  });
});
