import { describe, expect, test } from 'bun:test';
import { PersonIdSchema } from '@contracts/ids.ts';
import { Value } from '@sinclair/typebox/value';
import { createManualClock } from './clock.ts';
import { createIds } from './ids.ts';
import { createSeededRandom, systemRandom } from './random.ts';

const at = Date.parse('2026-11-22T08:00:00Z');

describe.each([
  ['system', systemRandom],
  ['seeded', createSeededRandom(1)],
] as const)('ids from %s random', (_, random) => {
  test('are UUIDv7 in canonical form and carry their time', () => {
    const id = createIds(createManualClock(at), random)<string>();
    expect(Value.Check(PersonIdSchema, id)).toBe(true);
    expect(id[14]).toBe('7');
    expect(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)).toBe(at);
  });

  test('strictly rise, within a millisecond and when the clock steps back', () => {
    const clock = createManualClock(at + 1_000);
    let made = 0;
    const ids = createIds({ ...clock, nowMs: () => clock.nowMs() - (made % 3) }, random);
    let last = '';
    for (; made < 20_000; made++) {
      const id = ids<string>();
      expect(id > last).toBe(true);
      last = id;
    }
  });
});

test('the same seed gives the same ids', () => {
  const make = () => Array.from({ length: 5 }, createIds(createManualClock(at), createSeededRandom(7)));
  expect(make()).toEqual(make());
});
