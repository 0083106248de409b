import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createLog } from '@platform/log.ts';
import { createTestDatabase, type TestDatabase } from '@testing/postgres.ts';
import { runSimCampaign } from './campaign.ts';
import { type OpenedDatabases, openDatabases } from './databases.ts';
import type { PlantedBug } from './planted-bugs.ts';
import { shrinkFaults } from './shrink.ts';
import { simulate } from './simulate.ts';

const log = createLog('silent');
// Alone some 10 s at most; other work on the machine shows in every round trip.
const timeoutMs = 300_000;
let own: TestDatabase;
let databases: OpenedDatabases;

beforeAll(async () => {
  own = await createTestDatabase();
  databases = await openDatabases(own.url, log);
});
afterAll(async () => {
  await databases.close();
  await own.drop();
});

test(
  'nothing that was promised breaks while instances die and stop, answers get lost and messages come twice',
  async () => {
    const { failures, seeds, faults } = await runSimCampaign({ lanes: [databases], firstSeed: 1, seeds: 8 });
    expect(failures).toEqual([]);
    expect(seeds).toBe(8);
    expect(Object.keys(faults).length).toBeGreaterThan(20);
  },
  timeoutMs,
);

test(
  'a seed runs again exactly, step by step, and another one differently',
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
  'with only some of its faults, a seed meets these and no others',
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
  const plants: { bug: PlantedBug; says: RegExp }[] = [
    { bug: 'ackBeforeCommit', says: /never told of event|payments are: none|is still/ },
    { bug: 'missingFence', says: /its history has|was told by 2 events|is not in its history/ },
    { bug: 'missingInbox', says: /has \d payments/ },
  ];
  for (const { bug, says } of plants) {
    test(
      bug,
      async () => {
        const own = await createTestDatabase();
        const planted = await openDatabases(own.url, log, bug);
        const search = {
          lanes: [planted],
          planted: bug,
          firstSeed: 1,
          seeds: 200,
          stopsAtFirstFailure: true,
        };
        const [found] = (await runSimCampaign(search)).failures;
        expect(found?.violations.join('\n')).toMatch(says);
        await planted.close();
        await own.drop();
      },
      timeoutMs,
    );
  }
});

test(
  'a failing seed is told with fewer faults than it met, which still make it fail',
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
