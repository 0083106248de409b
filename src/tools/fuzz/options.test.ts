import { expect, test } from 'bun:test';
import { parseArguments, usage } from './options.ts';

test('without arguments 50,000 cases of seed 1 run against a separate process', () => {
  expect(parseArguments([])).toEqual({
    kind: 'run',
    arguments: {
      url: undefined,
      topology: 'all',
      cases: 50_000,
      slowAtOnce: 200,
      seed: 1,
      attacks: false,
      attackSeconds: 10,
      json: false,
    },
  });
});

test('every option in the help is accepted', () => {
  const args = '--topology fleet --cases 7 --slow 0 --seed 9 --attacks --seconds 3 --json';
  expect(parseArguments(args.split(' '))).toEqual({
    kind: 'run',
    arguments: {
      url: undefined,
      topology: 'fleet',
      cases: 7,
      slowAtOnce: 0,
      seed: 9,
      attacks: true,
      attackSeconds: 3,
      json: true,
    },
  });
  for (const option of args.match(/--[a-z]+/g) ?? []) expect(usage).toContain(option);
});

test('only URLs of this machine are accepted', () => {
  for (const url of ['http://example.com', 'https://127.0.0.1', 'http://10.0.0.1:8080', 'here'])
    expect(parseArguments(['--url', url])).toMatchObject({ kind: 'wrong' });
  expect(parseArguments(['--url', 'http://127.0.0.1:8080'])).toMatchObject({ kind: 'run' });
});

test('all errors are reported at once', () => {
  expect(parseArguments(['--cases', '0', '--seed', 'x', '--topology', 'moon'])).toEqual({
    kind: 'wrong',
    message: [
      '--topology must be one of all, fleet, not "moon"',
      '--cases must be an integer from 1 to 10000000, not "0"',
      '--seed must be an integer from 0 to 4294967295, not "x"',
    ].join('\n'),
  });
});
