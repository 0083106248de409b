import { expect, spyOn, test } from 'bun:test';
import { parseOptions, runCommand } from './options.ts';

const own = { count: { type: 'string', default: '3' }, share: { type: 'string', default: '0.5' } } as const;
const parse = (...args: string[]) =>
  parseOptions(args, own, ({ values, number, integer }) => ({
    count: integer('count', values.count, 1, 10),
    share: number('share', values.share, 0, 1),
    json: values.json,
  }));

test('a missing option has its default', () => {
  expect(parse()).toEqual({ kind: 'run', arguments: { count: 3, share: 0.5, json: false } });
  expect(parse('--count', '10', '--share', '1', '--json')).toEqual({
    kind: 'run',
    arguments: { count: 10, share: 1, json: true },
  });
});

test('every invalid number is reported with its bounds', () => {
  expect(parse('--count', '1.5', '--share', ' ')).toEqual({
    kind: 'wrong',
    message:
      '--count must be an integer from 1 to 10, not "1.5"\n--share must be a number from 0 to 1, not " "',
  });
  for (const text of ['0', '11', 'NaN', 'Infinity', 'many', '', '1e1', '0x5', ' 5', '5 ', '+5', '5.0', '٥'])
    expect(parse(`--count=${text}`)).toMatchObject({ kind: 'wrong' });
  for (const text of ['1e-1', '.5', '0,5', '0x0', ' 0.5'])
    expect(parse(`--share=${text}`)).toMatchObject({ kind: 'wrong' });
});

test('an unknown option, an option without its value and an extra argument are rejected', () => {
  expect(parse('--taxis')).toEqual({ kind: 'wrong', message: "Unknown option '--taxis'" });
  expect(parse('--count')).toMatchObject({ kind: 'wrong', message: expect.stringContaining('--count') });
  expect(parse('go')).toEqual({ kind: 'wrong', message: 'unexpected argument "go"' });
});

test('help is shown even if values are invalid', () => {
  expect(parse('--help', '--count', 'x')).toEqual({ kind: 'help' });
});

test('wrong usage exits with 2 and points to the help, which exits with 0', async () => {
  const out = spyOn(process.stdout, 'write').mockReturnValue(true);
  const err = spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    const work = () => Promise.resolve(7);
    expect(await runCommand('city', 'the usage', { kind: 'wrong', message: 'no' }, work)).toBe(2);
    expect(String(err.mock.calls)).toContain('no\n\nRun "bun run city --help"');
    expect(await runCommand('city', 'the usage', { kind: 'help' }, work)).toBe(0);
    expect(String(out.mock.calls)).toContain('the usage');
    expect(await runCommand('city', '', parse('--json'), work)).toBe(7);
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
});
