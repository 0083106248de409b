import type { Operation, Schema } from './api-document.ts';
import type { CaseGenerator, FuzzCase, RoleTokens } from './case.ts';
import { createRequestBuilder, toWellFormed } from './requests.ts';
import {
  corruptValue,
  hostileText,
  hostileValue,
  marker,
  type RandomPicker,
  randomId,
  validValue,
} from './values.ts';

const hostileIds = [
  '0',
  '-1',
  'null',
  '%00',
  '..%2f..%2fetc%2fpasswd',
  '%2e%2e',
  '%252e%252e',
  `${marker}%27%20or%201=1`,
  '%F0%9F%9A%95',
  '%ff%fe',
  '\u00e9',
  'a'.repeat(3_000),
];
const hostilePaths = [
  '//v1/trips',
  '/v1//trips',
  '/v1/../v1/trips',
  '/v1/trips/..',
  '/v1/%2e%2e/internal/driver/candidates',
  '/v1/trips/..%2f..%2finternal',
  '/%2e%2e/%2e%2e/etc/passwd',
  '/v1\\trips',
  '/v1/trips\\..\\..\\internal',
  '/internal/driver/candidates',
  '/internal/payment/quotes/1',
  '/V1/TRIPS',
  '/v1/trips/',
  '/v1/trips;jsessionid=1',
  '/v1/trips%00',
  '/v1/trips%20',
  '/v1/tr%69ps',
  `/${marker}`,
  `/v1/${'x/'.repeat(500)}`,
  '/.git/config',
  '/openapi/../metrics',
  '/?',
  '/#',
];
const rawBodies = [
  '',
  '{',
  '[]',
  'null',
  '"text"',
  '7',
  '{"a":1}{"b":2}',
  '{"a":1,}',
  '{"lat":NaN,"lng":Infinity}',
  '{"lat":1e999,"lng":0}',
  '\ufeff{}',
  `{"${'k'.repeat(30_000)}":1}`,
  '['.repeat(20_000),
  `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`,
  `{"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
  `{"x":"${'y'.repeat(66_000)}"}`,
  `{"x":"${'z'.repeat(300_000)}"}`,
  `{"points":[${'{"lat":1,"lng":1},'.repeat(900)}{"lat":1,"lng":1}]}`,
  '\u0000\u0001\u0002',
];
const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY'];

export function createApiCases(
  operations: readonly Operation[],
  tokens: RoleTokens,
  picker: RandomPicker,
): CaseGenerator {
  const request = createRequestBuilder(tokens, picker);
  return {
    next() {
      const roll = picker.integer(0, 99);
      if (roll < 6) return hostilePathCase();
      const operation = picker.pick(operations);
      if (roll < 10) return wrongMethodCase(operation);
      return operationCase(operation);
    },
  };

  function operationCase({ method, path, parameters, body: schema, statuses }: Operation): FuzzCase {
    const isHostile = picker.chance(0.3);
    const parts = parameters.filter(({ in: location }) => location === 'path');
    const target = parts.reduce(
      (made, { name, schema: shape }) =>
        made.replace(
          `{${name}}`,
          isHostile ? picker.pick(hostileIds) : encodeURIComponent(String(validValue(shape ?? {}, picker))),
        ),
      path,
    );
    const query = queryOf(parameters.filter(({ in: location }) => location === 'query'));
    const sent = schema === undefined ? unexpectedBody(method) : bodyOf(schema);
    return request(`api ${sent.kind}`, method, `${target}${query}`, sent, statuses);
  }

  function queryOf(parameters: Operation['parameters']): string {
    const pairs = parameters.flatMap(({ name, required = false, schema = {} }) => {
      if (!required && picker.chance(0.6)) return [];
      const value = picker.chance(0.6) ? validValue(schema, picker) : hostileValue(picker);
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      return [`${name}=${encodeURIComponent(toWellFormed(text.slice(0, 2_000)))}`];
    });
    if (picker.chance(0.1)) pairs.push(`unknown=${marker}`);
    return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
  }

  function bodyOf(schema: Schema): { kind: string; text: string } {
    const valid = validValue(schema, picker);
    const roll = picker.integer(0, 9);
    if (roll < 3) return { kind: 'valid', text: JSON.stringify(valid) };
    if (roll < 8) return { kind: 'nearly valid', text: JSON.stringify(corruptValue(valid, picker)) ?? '' };
    return { kind: 'unrelated body', text: picker.pick(rawBodies) };
  }

  function unexpectedBody(method: string): { kind: string; text: string | undefined } {
    const text = method !== 'GET' && picker.chance(0.3) ? picker.pick(rawBodies) : undefined;
    return { kind: text === undefined ? 'without body' : 'unrelated body', text };
  }

  function hostilePathCase(): FuzzCase {
    return request('path', picker.pick(methods), picker.pick(hostilePaths), { text: undefined }, [200, 204]);
  }

  function wrongMethodCase({ path }: Operation): FuzzCase {
    const target = path.replace(/\{\w+\}/g, () => randomId(picker));
    return request('method', picker.pick(methods), target, { text: undefined }, [200, 201, 202, 204]);
  }
}

/** A hostile text without line breaks, for a header of a malformed request. */
export const hostileHeaderText = (picker: RandomPicker): string => hostileText(picker).replace(/[\r\n]/g, '');
