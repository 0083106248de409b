import { expect, test } from 'bun:test';
import { chaosFaultKinds } from './fault-kinds.ts';
import { parseArguments } from './options.ts';

const parse = (...args: string[]) => {
  const parsed = parseArguments(args);
  return parsed.kind === 'run' ? parsed.arguments : parsed;
};

test('the default is a campaign of 200 faults of all kinds', () => {
  expect(parse()).toEqual({
    kind: 'campaign',
    seed: 1,
    kinds: chaosFaultKinds,
    faults: 200,
    minutes: 60,
    drivers: 30,
    recoverySecondsMax: 10,
    json: false,
  });
});

test('--kinds selects kinds by name', () => {
  const only = parse('--kinds', 'redis-flushed, connections-cut', '--faults', '9');
  expect(only).toMatchObject({
    faults: 9,
    kinds: [{ name: 'connections-cut' }, { name: 'redis-flushed' }],
  });
});

test('--scenario broker-away takes the duration from --seconds', () => {
  expect(parse('--scenario', 'broker-away', '--seconds', '5')).toMatchObject({
    kind: 'broker-away',
    seconds: 5,
  });
});

test('all invalid arguments are reported at once', () => {
  const parsed = parseArguments(['--seed', 'x', '--kinds', 'flood', '--scenario', 'fire']);
  expect(parsed).toEqual({
    kind: 'wrong',
    message: [
      '--seed must be an integer from 0 to 4294967295, not "x"',
      '--kinds: unknown kind "flood"',
      '--scenario must be broker-away, not "fire"',
    ].join('\n'),
  });
});
