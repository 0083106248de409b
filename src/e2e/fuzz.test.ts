import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { systemClock } from '@platform/clock.ts';
import { createSeededRandom } from '@platform/random.ts';
import { expectStatus, signUpRider } from '@testing/people.ts';
import { opsEmail, opsPassword, type RunningSystem, startSystem } from '@testing/topologies.ts';
import { runAttacks } from '../tools/fuzz/attacks/run.ts';
import { isMemoryReleased, runFuzzCampaign } from '../tools/fuzz/campaign.ts';
import {
  attackLimits,
  createMemoryReader,
  createRoleTokens,
  idleConnections,
  slowSenderBounds,
} from '../tools/fuzz/target.ts';

const startTimeoutMs = 60_000;
const campaignTimeoutMs = 120_000;

describe.each([
  ['one process, embedded adapters', 'all', 1, 100],
  // More slow senders than the edge admits requests at once: they must not take a slot from anyone.
  ['fleet', 'fleet', 6, 600],
] as const)('hostile requests, %s', (name, topology, processes, slowAtOnce) => {
  let system: RunningSystem;
  beforeAll(async () => {
    system = await startSystem(name, { ...attackLimits, LOG_LEVEL: 'warn' }, 'apart');
  }, startTimeoutMs);
  afterAll(() => system?.stop(), startTimeoutMs);

  test(
    'get an answer or a closed connection, without server errors, hangs or leaks, and slow senders delay nobody',
    async () => {
      const operator = { email: opsEmail, password: opsPassword };
      const report = await runFuzzCampaign({
        url: system.url,
        tokens: await createRoleTokens({ url: system.url, operator }),
        cases: 2_000,
        slow: { atOnce: slowAtOnce, ...slowSenderBounds(topology, attackLimits) },
        random: createSeededRandom(5),
        clock: systemClock,
        signal: new AbortController().signal,
        memoryBytes: createMemoryReader(system.services),
        reportProgress: () => undefined,
      });
      expect(report.sorts).toEqual([]);
      expect(report.unexpected).toBe(0);
      expect(report.cases).toBe(2_000);
      // The campaign reached the routes with bodies, and was not rejected before them.
      expect(report.kinds['api valid']).toBeGreaterThan(100);
      expect(report.kinds['api nearly valid']).toBeGreaterThan(200);
      expect(report.statuses[200]).toBeGreaterThan(40);
      expect(report.statuses[400]).toBeGreaterThan(200);
      expect(report.kinds['slow head']).toBeGreaterThan(20);
      expect(report.kinds['slow body']).toBeGreaterThan(20);
      expect(report.slow.senders).toBe(slowAtOnce);
      expect(Object.keys(report.memoryMb)).toHaveLength(processes);
      expect([report.memoryMb, isMemoryReleased(report)]).toEqual([report.memoryMb, true]);
    },
    campaignTimeoutMs,
  );

  test(
    'do not harm well-behaved clients, whatever the kind of attack',
    async () => {
      const report = await runAttacks({
        url: system.url,
        tokens: await createRoleTokens({ url: system.url, operator: undefined }),
        attackMs: 1_200,
        idleConnections,
        clock: systemClock,
        signal: new AbortController().signal,
        reportProgress: () => undefined,
      });
      expect(
        report.attacks.flatMap(({ kind, harm }) => harm.map((description) => `${kind}: ${description}`)),
      ).toEqual([]);
      expect(report.attacks.length + report.skipped.length).toBe(12);
      for (const { attacker, bystanders } of report.attacks) {
        expect(attacker.connections).toBeGreaterThan(10);
        expect(Object.keys(bystanders)).toEqual([
          'sign-in',
          'key set',
          'position',
          'trip',
          'live connection',
          'new live connection',
        ]);
      }
    },
    campaignTimeoutMs,
  );

  test('leave a working system', async () => {
    const rider = await signUpRider(system.url);
    const body = { pickup: { lat: 10.77, lng: 106.7 }, dropoff: { lat: 10.8, lng: 106.65 }, product: 'car' };
    await expectStatus(201, rider.request('POST', '/v1/quotes', { body }));
  });
});
