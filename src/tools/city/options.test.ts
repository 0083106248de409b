import { describe, expect, test } from 'bun:test';
import { parseArguments, usage } from './options.ts';

describe('bun run city', () => {
  test('has a default for everything', () => {
    const parsed = parseArguments([]);
    expect(parsed).toMatchObject({
      kind: 'run',
      arguments: { drivers: 200, trips: 300, seed: 7, timeScale: 20, json: false, url: undefined },
    });
  });

  test('accepts every option in its help', () => {
    const args =
      '--url http://h:1 --drivers 3 --trips endless --seed 9 --demand d.csv --time-scale 5.5 --rate-per-second 0.5 --decline-rate 0 --dark-rate 1 --cancel-rate 0.5 --declined-card-rate 0.1 --json';
    expect(parseArguments(args.split(' '))).toEqual({
      kind: 'run',
      arguments: {
        ...{ url: 'http://h:1', drivers: 3, trips: Number.POSITIVE_INFINITY, seed: 9, demandFile: 'd.csv' },
        ...{
          timeScale: 5.5,
          ratePerSecond: 0.5,
          declineRate: 0,
          darkRate: 1,
          cancelRate: 0.5,
          json: true,
          declinedCardRate: 0.1,
        },
      },
    });
    for (const option of args.match(/--[a-z-]+/g) ?? []) expect(usage).toContain(option);
  });

  test('reports all errors at once', () => {
    const parsed = parseArguments([
      '--drivers',
      'many',
      '--dark-rate',
      '2',
      '--url',
      'ftp://x',
      '--seed',
      '1.5',
    ]);
    expect(parsed).toEqual({
      kind: 'wrong',
      message: [
        '--url must be an http:// or https:// URL, not "ftp://x"',
        '--drivers must be an integer from 1 to 100000, not "many"',
        '--seed must be an integer from 0 to 4294967295, not "1.5"',
        '--dark-rate must be a number from 0 to 1, not "2"',
      ].join('\n'),
    });
  });

  test('rejects unknown options', () => {
    expect(parseArguments(['--taxis', '3'])).toMatchObject({
      kind: 'wrong',
      message: expect.stringContaining('--taxis'),
    });
    expect(parseArguments(['--help'])).toEqual({ kind: 'help' });
  });
});
