import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createLog } from '@platform/log.ts';
import { createTestDatabase, type TestDatabase } from '@testing/postgres.ts';
import { runSimCampaign } from './campaign.ts';
import { type OpenedDatabases, openDatabases } from './databases.ts';
import type { PlantedBug } from './planted-bugs.ts';
import { shrinkFaults } from './shrink.ts';
import { simulate } from './simulate.ts';

const log = createLog('silent');
// At most about 10 s on an idle machine; other work slows down every round trip.
const timeoutMs = 300_000;
let testDatabase: TestDatabase;
let databases: OpenedDatabases;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  databases = await openDatabases(testDatabase.url, log);
});
afterAll(async () => {
  await databases.close();
  await testDatabase.drop();
});

test(
  'no invariant is violated while instances crash and pause, answers are lost and messages are duplicated',
  async () => {
    const { failures, seeds, faults } = await runSimCampaign({ lanes: [databases], firstSeed: 1, seeds: 8 });
    expect(failures).toEqual([]);
    expect(seeds).toBe(8);
    expect(Object.keys(faults).length).toBeGreaterThan(20);
  },
  timeoutMs,
);

test(
  'a seed gives the same run again, step by step, and another seed a different one',
  async () => {
    const [first, other, again] = [
      await simulate({ seed: 21, databases }),
      await simulate({ seed: 22, databases }),
      await simulate({ seed: 21, databases }),
    ];
    expect(again.trace).toEqual(first.trace);
    expect(again.traceHash).toBe(first.traceHash);
    expect(other.traceHash).not.toBe(first.traceHash);
  },
  timeoutMs,
);

test(
  'a seed restricted to some of its faults meets exactly these',
  async () => {
    const whole = await simulate({ seed: 21, databases });
    const only = whole.faults.slice(0, 3).map(({ id }) => id);
    const part = await simulate({ seed: 21, databases, only: new Set(only) });
    expect(part.faults.map(({ id }) => id)).toEqual(only);
    expect((await simulate({ seed: 21, databases, only: new Set() })).faults).toEqual([]);
  },
  timeoutMs,
);

describe('a planted bug is found within 200 seeds', () => {
  const plantedBugs: { bug: PlantedBug; reports: RegExp }[] = [
    { bug: 'ackBeforeCommit', reports: /never received event|payments are: none|is still/ },
    { bug: 'missingFence', reports: /its history has|has 2 events|is not in its history/ },
    { bug: 'missingInbox', reports: /has \d payments/ },
  ];
  for (const { bug, reports } of plantedBugs) {
    test(
      bug,
      async () => {
        const testDatabase = await createTestDatabase();
        const planted = await openDatabases(testDatabase.url, log, bug);
        const search = {
          lanes: [planted],
          planted: bug,
          firstSeed: 1,
          seeds: 200,
          stopsAtFirstFailure: true,
        };
        const [found] = (await runSimCampaign(search)).failures;
        expect(found?.violations.join('\n')).toMatch(reports);
        await planted.close();
        await testDatabase.drop();
      },
      timeoutMs,
    );
  }
});

test(
  'a failing seed is shrunk to fewer faults that still make it fail',
  async () => {
    const options = { databases, planted: 'ackBeforeCommit', firstSeed: 1, seeds: 200 } as const;
    const [found] = (await runSimCampaign({ ...options, lanes: [databases], stopsAtFirstFailure: true }))
      .failures;
    const failing = { ...options, seed: found?.seed ?? 0 };
    const faults = (await simulate(failing)).faults.map(({ id }) => id);
    const shrunk = await shrinkFaults(failing, faults, 8);
    expect(shrunk.faults.length).toBeLessThan(faults.length);
    const again = await simulate({ ...failing, only: new Set(shrunk.faults) });
    expect(again.violations).not.toEqual([]);
  },
  timeoutMs,
);
