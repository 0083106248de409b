import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTestDatabase } from '@testing/postgres.ts';
import { completeSettings, invalidConfigurations, runToEnd } from '@testing/processes.ts';
import { testServers } from '@testing/servers.ts';
import { type RunningSystem, startSystem } from '@testing/topologies.ts';
import { until } from '@testing/until.ts';
import { createCity } from '../tools/city/index.ts';
import { executablePath, type ProcessName, processCommand, processNames } from '../tools/local/fleet.ts';
import { findFreePort } from '../tools/servers/ports.ts';

// `bun run build` makes what is shipped, and a bundler may change behaviour: every executable is started
// here on the real servers and serves a simulated city.

const buildTimeoutMs = 180_000;
const cityTimeoutMs = 240_000;
const bytesMax = 120 * 1024 * 1024;

const folder = mkdtempSync(join(tmpdir(), 'uitgo-executables-'));
beforeAll(async () => {
  const build = [process.execPath, join(import.meta.dir, '../cli/main.ts'), 'build', '--outdir', folder];
  const { err, exitCode } = await runToEnd(build, { ...process.env, PATH: process.env.PATH ?? '' });
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: expect.any(String) });
}, buildTimeoutMs);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(processNames)('the executable of %s', (name) => {
  test('has at most 120 MiB', () => {
    expect(statSync(executablePath(folder, name)).size).toBeLessThanOrEqual(bytesMax);
  });

  test.each(invalidConfigurations(name).map((one) => [one.description, one] as const))(
    'exits with code 2 and lists every invalid setting for %s',
    async (_, { settings, faults }) => {
      const { out, err, exitCode } = await runToEnd(processCommand(name, folder), {
        ...completeSettings,
        ...settings,
      });
      expect({ out, exitCode }).toEqual({ out: '', exitCode: 2 });
      expect(err.trimEnd().split('\n').length).toBe(1 + faults.length);
      for (const fault of faults) expect(err).toContain(`\n  ${fault} is `);
    },
  );
});

describe('a start', () => {
  // On an idle machine a start takes less than 100 ms (docs/performance.md), but the test must also pass on
  // a loaded one.
  const answerMsMax = 10_000;
  const starts = 3;

  test.each(processNames)(
    'of %s answers /healthz before its stores are prepared, and exits with code 0 on SIGTERM',
    async (name) => {
      const database = await createTestDatabase();
      try {
        const measuredMs: number[] = [];
        for (let n = 0; n < starts; n++) measuredMs.push(await timeToFirstAnswer(name, database.url));
        measuredMs.sort((a, b) => a - b);
        const medianMs = measuredMs[Math.floor(starts / 2)] ?? Number.NaN;
        console.log(`uit-go-${name}: first answer after ${Math.round(medianMs)} ms (median of ${starts})`);
        expect(medianMs).toBeLessThan(answerMsMax);
      } finally {
        await database.drop();
      }
    },
    60_000,
  );

  async function timeToFirstAnswer(name: ProcessName, databaseUrl: string): Promise<number> {
    const servers = testServers();
    const port = await findFreePort();
    const startedMs = performance.now();
    const child = Bun.spawn(processCommand(name, folder), {
      env: {
        ...completeSettings,
        PORT: String(port),
        LOG_LEVEL: 'error',
        NAMESPACE: `start${process.pid}`,
        DATABASE_URL: databaseUrl,
        DATABASE_POOL_MAX: '4',
        GEO_REDIS_URL: servers.geoRedis,
        CACHE_REDIS_URL: servers.cacheRedis,
        AMQP_URL: servers.amqp,
      },
      stdout: 'pipe',
      stderr: 'pipe',
    });
    await until(() => fetch(`http://127.0.0.1:${port}/healthz`).then(({ status }) => status === 200), {
      describe: `uit-go-${name} to answer /healthz`,
      timeoutMs: answerMsMax,
      pollMs: 1,
    });
    const answeredMs = performance.now() - startedMs;
    child.kill('SIGTERM');
    const [out, err] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    expect({ out, err, exitCode: await child.exited }).toEqual({ out: '', err: '', exitCode: 0 });
    return answeredMs;
  }
});

describe('a city with 20 trips', () => {
  const quick = { drivers: 24, trips: 20, timeScale: 100, ratePerSecond: 2 };
  let system: RunningSystem | undefined;
  afterEach(async () => {
    await system?.stop();
    system = undefined;
  }, 60_000);

  test.each(['fleet', 'one process, real adapters'] as const)(
    'runs on the executables as %s, and every trip ends in an allowed way',
    async (topology) => {
      system = await startSystem(
        topology,
        { OFFER_TIMEOUT_SECONDS: '5', SEARCH_TIMEOUT_SECONDS: '30' },
        'apart',
        folder,
      );
      for (const { url } of system.services) expect((await fetch(`${url}/healthz`)).status).toBe(200);
      const summary = await createCity({ url: system.url, seed: 3, ...quick }).run(
        new AbortController().signal,
      );
      expect(summary.violations).toEqual([]);
      expect(summary.errors).toEqual({});
      expect(summary.requested).toBe(quick.trips);
      expect(summary.completed + summary.cancelled + summary.unfulfilled).toBe(quick.trips);
      expect(summary.captured).toBe(summary.completed);
      expect(summary.completed).toBeGreaterThan(quick.trips / 2);
    },
    cityTimeoutMs,
  );
});
