import { expect, test } from 'bun:test';
import { runChaosCampaign } from '../tools/chaos/campaign.ts';
import { chaosFaultKinds } from '../tools/chaos/fault-kinds.ts';

const runTimeoutMs = 180_000;
// The faults that the city tests, which kill services, do not cover.
const kinds = ['connections-cut', 'reply-swallowed', 'redis-flushed', 'rabbitmq-killed'];

test(
  'closed connections, lost replies, a flushed Redis and a killed broker lose no data and leave no trip or driver stuck',
  async () => {
    const summary = await runChaosCampaign({
      seed: 11,
      kinds: chaosFaultKinds.filter(({ name }) => kinds.includes(name)),
      faults: 3,
      durationMs: 60_000,
      drivers: 8,
      baselineMs: 2_000,
      env: { SEARCH_TIMEOUT_SECONDS: '8' },
      // The tests share the machine; the command measures how fast the system recovers.
      recoveryMsMax: 45_000,
      signal: new AbortController().signal,
      report: () => undefined,
    });
    expect(summary.violations).toEqual([]);
    expect(Object.keys(summary.kinds).sort()).toEqual(kinds.toSorted());
    expect(summary.acknowledged.trips).toBeGreaterThan(20);
    expect(summary.city.completed).toBeGreaterThan(0);
    expect(summary.city.captured).toBe(summary.city.completed);
  },
  runTimeoutMs,
);
