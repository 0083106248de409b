import { expect, test } from 'bun:test';
import { parseArguments } from './options.ts';

test('without arguments 50,000 cases of seed 1 go against a system of its own', () => {
  expect(parseArguments([])).toEqual({
    kind: 'run',
    arguments: { url: undefined, cases: 50_000, seed: 1, json: false },
  });
});

test('only this machine is attacked', () => {
  for (const url of ['http://example.com', 'https://127.0.0.1', 'http://10.0.0.1:8080', 'here'])
    expect(parseArguments(['--url', url])).toMatchObject({ kind: 'wrong' });
  expect(parseArguments(['--url', 'http://127.0.0.1:8080'])).toMatchObject({ kind: 'run' });
});

test('all that is wrong is told at once', () => {
  const parsed = parseArguments(['--cases', '0', '--seed', 'x']);
  expect(parsed.kind === 'wrong' && parsed.message).toMatch(/--cases[\s\S]*--seed/);
});
