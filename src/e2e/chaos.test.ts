import { expect, test } from 'bun:test';
import { runChaosCampaign } from '../tools/chaos/campaign.ts';
import { chaosFaultKinds } from '../tools/chaos/fault-kinds.ts';

const runTimeoutMs = 180_000;
// What the cities whose services are killed do not cover.
const kinds = ['connections-cut', 'reply-swallowed', 'redis-flushed', 'rabbitmq-killed'];

test(
  'cut connections, swallowed replies, a flushed Redis and a killed broker lose nothing and leave nobody stuck',
  async () => {
    const summary = await runChaosCampaign({
      seed: 11,
      kinds: chaosFaultKinds.filter(({ name }) => kinds.includes(name)),
      faults: 3,
      durationMs: 60_000,
      drivers: 8,
      baselineMs: 2_000,
      env: { SEARCH_TIMEOUT_SECONDS: '8' },
      // The tests share the machine: how fast it recovers is measured by the command.
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
