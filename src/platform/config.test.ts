import { expect, test } from 'bun:test';
import { Type } from '@sinclair/typebox';
import { ConfigError, isHostName, isOrigin, loadConfig, setting } from './config.ts';

const schema = Type.Object({
  PORT: setting.integer('the port', 0, 65_535, 8080),
  DATABASE_URL: setting.url('postgres|postgresql', 'the primary'),
  MODE: setting.choice('the mode', ['events', 'sync'], 'events'),
  SECRET: setting.text('a secret of at least 8 characters', { minLength: 8 }),
  EXTRA_URL: Type.Optional(setting.url('http|https', 'an extra')),
});
const good = { DATABASE_URL: 'postgres://localhost/x', SECRET: 'long enough' };

test('defaults apply to absent and empty variables, and numbers are parsed', () => {
  expect(loadConfig(schema, { ...good, PORT: '9000' })).toEqual({ ...good, PORT: 9000, MODE: 'events' });
  expect(loadConfig(schema, { ...good, PORT: '' }).PORT).toBe(8080);
});

test('all faults are reported at once, with the name of the setting and the expected value', () => {
  const load = () => loadConfig(schema, { PORT: 'eighty', MODE: 'both', EXTRA_URL: 'nowhere' });
  expect(load).toThrow(ConfigError);
  expect(load).toThrow(/PORT is invalid.*an integer from 0 to 65535/);
  expect(load).toThrow(
    /DATABASE_URL is missing: set it to the primary \(postgres:\/\/ or postgresql:\/\/…\)/,
  );
  expect(load).toThrow(/MODE is invalid.*events, sync/);
  expect(load).toThrow(/SECRET is missing/);
  expect(load).toThrow(/EXTRA_URL is invalid/);
});

test('an invalid value is never repeated, since it may be a secret', () => {
  try {
    loadConfig(schema, { ...good, SECRET: 'hunter2' });
    expect.unreachable();
  } catch (error) {
    expect(String(error)).toContain('SECRET is invalid');
    expect(String(error)).not.toContain('hunter2');
  }
});

test('a time zone is an IANA name that exists', () => {
  const zoned = Type.Object({ ZONE: setting.timeZone('the zone', 'Asia/Ho_Chi_Minh') });
  expect(loadConfig(zoned, {}).ZONE).toBe('Asia/Ho_Chi_Minh');
  expect(loadConfig(zoned, { ZONE: 'Europe/Berlin' }).ZONE).toBe('Europe/Berlin');
  for (const wrong of ['Asia/Nowhere', '7', 'GMT+25'])
    expect(() => loadConfig(zoned, { ZONE: wrong })).toThrow(/ZONE is invalid.*an IANA name/);
});

test('a number is parsed exactly or rejected', () => {
  const load = (text: string) => loadConfig(schema, { ...good, PORT: text }).PORT;
  expect(['0', '80', '0080'].map(load)).toEqual([0, 80, 80]);
  for (const text of ['12.5', '1e3', '0x10', ' 7', '7 ', '7abc', '+7', '٧', '-1', '65536', '8080,8081'])
    expect(() => load(text)).toThrow(/PORT is invalid.*set it to the port: an integer from 0 to 65535/);
});

test('a URL has an allowed protocol, a host, and no characters that a parser would drop', () => {
  const load = (text: string) => loadConfig(schema, { ...good, EXTRA_URL: text }).EXTRA_URL;
  const right = ['http://a', 'https://a.example:8443/path', 'http://[::1]:80'];
  expect(right.map(load)).toEqual(right);
  for (const text of ['ftp://a', 'http:a', 'http://', ' http://a', 'http://a\n', 'http://a b', 'http://a:b'])
    expect(() => load(text)).toThrow(/EXTRA_URL is invalid.*set it to an extra/);
});

test('a list has no empty and no invalid item', () => {
  const lists = Type.Object({ NODES: Type.Optional(setting.urls('redis|rediss', 'the nodes')) });
  const load = (text: string) => loadConfig(lists, { NODES: text }).NODES;
  expect(load('redis://a,rediss://b:7000')).toBe('redis://a,rediss://b:7000');
  for (const text of [
    ',',
    'redis://a,',
    'redis://a,,redis://b',
    'redis://a;redis://b c',
    'redis://a,http://b',
  ])
    expect(() => load(text)).toThrow(/NODES is invalid/);
});

test('a choice matches one of its words exactly', () => {
  const load = (text: string) => loadConfig(schema, { ...good, MODE: text }).MODE;
  expect(load('sync')).toBe('sync');
  for (const text of ['Sync', ' sync', 'events|sync', 'events, sync'])
    expect(() => load(text)).toThrow(/MODE is invalid.*events, sync/);
});

test('setting the former name of a setting is a fault that names the new one', () => {
  const shares = Type.Object({
    SHARE_BASIS_POINTS: setting.basisPoints('the share', 2_000, 'SHARE_PERCENT'),
  });
  expect(loadConfig(shares, { SHARE_BASIS_POINTS: '1250' })).toEqual({ SHARE_BASIS_POINTS: 1_250 });
  expect(() => loadConfig(shares, { SHARE_PERCENT: '12.5' })).toThrow(
    /SHARE_PERCENT was renamed: set SHARE_BASIS_POINTS to the share, in basis points/,
  );
});

test('host names and origins must be complete', () => {
  const right = ['*', 'api.uitgo.example', '10.0.0.7', '[::1]'];
  expect(right.filter(isHostName)).toEqual(right);
  expect(['', 'a b', 'http://a', 'a:80', 'a/b', '**'].filter(isHostName)).toEqual([]);
  const origins = ['https://app.example', 'http://localhost:3000'];
  expect(origins.filter(isOrigin)).toEqual(origins);
  const none = [
    '',
    '*',
    'null',
    'app.example',
    'https://app.example/',
    'https://app.example/a',
    'https://APP.example',
    'https://*.example',
  ];
  expect(none.filter(isOrigin)).toEqual([]);
});
