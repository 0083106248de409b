import { expect, test } from 'bun:test';
import { chaosFaultKinds } from './fault-kinds.ts';
import { parseArguments } from './options.ts';

const asked = (...args: string[]) => {
  const parsed = parseArguments(args);
  return parsed.kind === 'run' ? parsed.arguments : parsed;
};

test('without arguments it is the campaign of 200 faults of all kinds', () => {
  expect(asked()).toEqual({
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

test('kinds are chosen by name', () => {
  const only = asked('--kinds', 'redis-flushed, connections-cut', '--faults', '9');
  expect(only).toMatchObject({
    faults: 9,
    kinds: [{ name: 'connections-cut' }, { name: 'redis-flushed' }],
  });
});

test('the broker goes away for as long as it is said', () => {
  expect(asked('--scenario', 'broker-away', '--seconds', '5')).toMatchObject({
    kind: 'broker-away',
    seconds: 5,
  });
});

test('everything that is wrong is told at once', () => {
  const wrong = parseArguments(['--seed', 'x', '--kinds', 'flood', '--scenario', 'fire']);
  expect(wrong).toEqual({
    kind: 'wrong',
    message: [
      '--seed must be an integer from 0 to 4294967295, not "x"',
      '--kinds: there is no kind "flood"',
      '--scenario must be broker-away, not "fire"',
    ].join('\n'),
  });
});
