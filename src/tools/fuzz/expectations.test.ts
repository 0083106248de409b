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
const behindOne: FuzzCase = { ...slow, expects: { like: 'slow', served: 1 } };

const problem = (status: number, more: object = {}, headers: [string, string][] = []): WireResponse => ({
  status,
  headers: new Map([['content-type', 'application/problem+json'], ...headers]),
  body: JSON.stringify({ status, code: 'some.code', ...more }),
});
const success: WireResponse = { status: 200, headers: new Map(), body: '{}' };
const kindsOf = (one: FuzzCase, answers: WireResponse[], hung = false, closed = false) =>
  findUnexpected(one, { answers, hung, closed }).map(({ kind }) => kind);

test('expected responses are not reported', () => {
  expect(kindsOf(api, [success])).toEqual([]);
  expect(kindsOf(api, [problem(404)])).toEqual([]);
  expect(kindsOf(api, [problem(503, {}, [['retry-after', '1']])])).toEqual([]);
  expect(kindsOf(framing, [], false, true)).toEqual([]);
  expect(kindsOf(framing, [problem(401), problem(400)], false, true)).toEqual([]);
  expect(kindsOf(slow, [], false, true)).toEqual([]);
  expect(kindsOf(slow, [problem(408)])).toEqual([]);
  expect(kindsOf(slow, [problem(401), problem(400)], false, true)).toEqual([]);
  expect(kindsOf(behindOne, [success, problem(408)], false, true)).toEqual([]);
});

describe('reports', () => {
  test.each<[string, string, FuzzCase, WireResponse[]]>([
    ['a 500', 'server_error', api, [problem(500)]],
    ['a 503 that does not say when to come back', 'server_error', api, [problem(503)]],
    ['a 500 to what is no HTTP', 'server_error', framing, [problem(500)]],
    ['a stack', 'leak', api, [problem(400, { detail: 'at run (/srv/main.ts:7:1)' })]],
    ['the name of a part', 'leak', api, [problem(400, { detail: 'ioredis: connection closed' })]],
    ['SQL', 'leak', api, [problem(400, { detail: 'select id from people' })]],
    ['what was refused', 'leak', api, [problem(400, { detail: `${marker} is not valid` })]],
    ['the name of the server', 'leak', api, [{ ...success, headers: new Map([['server', 'x']]) }]],
    ['a success that the document does not name', 'answer', api, [{ ...success, status: 202 }]],
    ['a refusal that is no problem', 'answer', api, [{ ...success, status: 404 }]],
    ['a problem without code', 'answer', api, [problem(400, { code: undefined })]],
    ['a problem that names another status', 'answer', api, [{ ...problem(400), status: 401 }]],
    ['two answers', 'answer', api, [success, success]],
    ['an ambiguous framing that was served', 'answer', framing, [success]],
    ['a framing taken for two requests', 'answer', framing, [problem(401), problem(404)]],
    ['half a request that was served', 'answer', slow, [success]],
    ['half a request that was refused twice', 'answer', slow, [problem(401), problem(404)]],
    ['half a request behind a whole one that was served', 'answer', behindOne, [success, success]],
    ['a whole request that was lost with the half behind it', 'answer', behindOne, [problem(408)]],
    ['a 500 to who was too slow', 'server_error', slow, [problem(500)]],
  ])('%s', (_, kind, one, answers) => {
    expect(kindsOf(one, answers)).toEqual([kind as never]);
  });

  test('a missing response', () => expect(kindsOf(api, [], true)).toEqual(['hang']));
  test('a slow sender that is neither answered nor closed', () =>
    expect(kindsOf(slow, [], true)).toEqual(['hang']));
  test('a closed connection without a response', () =>
    expect(kindsOf(api, [], false, true)).toEqual(['answer']));
});
