import { expect, test } from 'bun:test';
import { parseArguments } from './options.ts';

const id = '01a20438-5328-7000-be00-93adcfa25034';
const parse = (line: string) => parseArguments(line === '' ? [] : line.split(' '));

test('each verb reports missing and contradictory arguments', () => {
  const invalid: [string, RegExp][] = [
    ['', /list, show, redrive, drop/],
    ['burn', /list, show, redrive, drop/],
    ['list everything', /list, show, redrive, drop/],
    ['show', /exactly one --id/],
    [`show --id ${id} --id ${id}`, /exactly one --id/],
    ['show --id 7', /--id 7 is not a valid id/],
    ['redrive', /redrive needs/],
    ['drop --queue payment.trips', /drop needs/],
    ['redrive --all --type x', /--all cannot be combined/],
    ['list --limit 0', /--limit/],
    ['list --loud', /loud/],
  ];
  for (const [line, message] of invalid)
    expect([line, parse(line)]).toEqual([line, { kind: 'wrong', message: expect.stringMatching(message) }]);
});

test('dropping dead letters without --id requires --yes', () => {
  expect(parse('drop --all')).toMatchObject({ kind: 'wrong', message: expect.stringMatching(/--yes/) });
  expect(parse('drop --reason x')).toMatchObject({ kind: 'wrong', message: expect.stringMatching(/--yes/) });
  expect(parse('drop --all --yes')).toMatchObject({ kind: 'run' });
  expect(parse(`drop --id ${id}`)).toMatchObject({ kind: 'run', arguments: { ids: [id] } });
});

test('a list has a default limit', () => {
  expect(parse('list')).toMatchObject({ arguments: { limit: 100 } });
  expect(parse('list --limit 5 --queue payment.trips --json')).toMatchObject({
    arguments: { limit: 5, queue: 'payment.trips', json: true },
  });
});
