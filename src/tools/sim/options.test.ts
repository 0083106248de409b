import { expect, test } from 'bun:test';
import { parseArguments } from './options.ts';

test('--seed selects one seed, with all of its faults or only those of --only', () => {
  const whole = parseArguments(['--seed', '7']);
  expect(whole).toEqual({ kind: 'run', arguments: { kind: 'one', seed: 7, faults: undefined, json: false } });
  const some = parseArguments(['--seed', '7', '--only', 'sql.slow#3, bus.late#1']);
  expect(some.kind === 'run' && some.arguments).toMatchObject({ faults: ['sql.slow#3', 'bus.late#1'] });
  const none = parseArguments(['--seed', '7', '--only', '']);
  expect(none.kind === 'run' && none.arguments).toMatchObject({ faults: [] });
});

test('without --seed many seeds are run', () => {
  const parsed = parseArguments(['--seeds', '1000', '--minutes', '30', '--json']);
  const campaign = { kind: 'campaign', firstSeed: 1, seeds: 1_000, minutes: 30, json: true, shrinks: true };
  expect(parsed.kind === 'run' && parsed.arguments).toMatchObject(campaign);
});

test('all invalid arguments are reported at once', () => {
  const parsed = parseArguments(['--seeds', 'many', '--lanes', '0', '--only', 'x']);
  expect(parsed.kind === 'wrong' && parsed.message.split('\n').length).toBe(3);
  expect(parseArguments(['--what']).kind).toBe('wrong');
  expect(parseArguments(['--help']).kind).toBe('help');
});
