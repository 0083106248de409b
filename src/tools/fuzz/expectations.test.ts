import { describe, expect, test } from 'bun:test';
import type { FuzzCase } from './case.ts';
import { findUnexpected } from './expectations.ts';
import { marker } from './values.ts';
import type { WireResponse } from './wire.ts';

const api: FuzzCase = {
  kind: 'api',
  label: 'GET /',
  parts: [],
  pauseMs: 0,
  isHead: false,
  needsOwnConnection: false,
  expects: { like: 'api', statuses: [200] },
};
const framing: FuzzCase = {
  ...api,
  kind: 'framing',
  needsOwnConnection: true,
  expects: { like: 'malformed', mayServe: false },
};
const slow: FuzzCase = {
  ...api,
  kind: 'slow body',
  needsOwnConnection: true,
  expects: { like: 'slow', served: 0 },
};
const afterComplete: FuzzCase = { ...slow, expects: { like: 'slow', served: 1 } };

const problem = (status: number, more: object = {}, headers: [string, string][] = []): WireResponse => ({
  status,
  headers: new Map([['content-type', 'application/problem+json'], ...headers]),
  body: JSON.stringify({ status, code: 'some.code', ...more }),
});
const success: WireResponse = { status: 200, headers: new Map(), body: '{}' };
const kindsOf = (fuzzCase: FuzzCase, answers: WireResponse[], hung = false, closed = false) =>
  findUnexpected(fuzzCase, { answers, hung, closed }).map(({ kind }) => kind);

test('expected responses are not reported', () => {
  expect(kindsOf(api, [success])).toEqual([]);
  expect(kindsOf(api, [problem(404)])).toEqual([]);
  expect(kindsOf(api, [problem(503, {}, [['retry-after', '1']])])).toEqual([]);
  expect(kindsOf(framing, [], false, true)).toEqual([]);
  expect(kindsOf(framing, [problem(401), problem(400)], false, true)).toEqual([]);
  expect(kindsOf(slow, [], false, true)).toEqual([]);
  expect(kindsOf(slow, [problem(408)])).toEqual([]);
  expect(kindsOf(slow, [problem(401), problem(400)], false, true)).toEqual([]);
  expect(kindsOf(afterComplete, [success, problem(408)], false, true)).toEqual([]);
});

describe('reports', () => {
  test.each<[string, string, FuzzCase, WireResponse[]]>([
    ['a 500', 'server_error', api, [problem(500)]],
    ['a 503 without Retry-After', 'server_error', api, [problem(503)]],
    ['a 500 to malformed HTTP', 'server_error', framing, [problem(500)]],
    ['a stack trace', 'leak', api, [problem(400, { detail: 'at run (/srv/main.ts:7:1)' })]],
    ['the name of a component', 'leak', api, [problem(400, { detail: 'ioredis: connection closed' })]],
    ['SQL', 'leak', api, [problem(400, { detail: 'select id from people' })]],
    ['rejected input', 'leak', api, [problem(400, { detail: `${marker} is not valid` })]],
    ['the name of the server', 'leak', api, [{ ...success, headers: new Map([['server', 'x']]) }]],
    ['an undocumented success', 'answer', api, [{ ...success, status: 202 }]],
    ['a rejection that is not a problem', 'answer', api, [{ ...success, status: 404 }]],
    ['a problem without a code', 'answer', api, [problem(400, { code: undefined })]],
    ['a problem with another status', 'answer', api, [{ ...problem(400), status: 401 }]],
    ['two responses', 'answer', api, [success, success]],
    ['an accepted ambiguous framing', 'answer', framing, [success]],
    ['a framing treated as two requests', 'answer', framing, [problem(401), problem(404)]],
    ['an accepted partial request', 'answer', slow, [success]],
    ['a partial request that was rejected twice', 'answer', slow, [problem(401), problem(404)]],
    ['an accepted partial request after a complete one', 'answer', afterComplete, [success, success]],
    ['a complete request without its response', 'answer', afterComplete, [problem(408)]],
    ['a 500 to a slow sender', 'server_error', slow, [problem(500)]],
  ])('%s', (_, kind, fuzzCase, answers) => {
    expect(kindsOf(fuzzCase, answers)).toEqual([kind as never]);
  });

  test('a missing response', () => expect(kindsOf(api, [], true)).toEqual(['hang']));
  test('a slow sender that is neither answered nor closed', () =>
    expect(kindsOf(slow, [], true)).toEqual(['hang']));
  test('a closed connection without a response', () =>
    expect(kindsOf(api, [], false, true)).toEqual(['answer']));
});
