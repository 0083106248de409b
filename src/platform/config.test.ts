import { expect, test } from 'bun:test';
import { Type } from '@sinclair/typebox';
import { ConfigError, loadConfig, setting } from './config.ts';

const schema = Type.Object({
  PORT: setting.integer('the port', 0, 65_535, 8080),
  DATABASE_URL: setting.url('postgres|postgresql', 'the primary'),
  MODE: setting.choice('the mode', ['events', 'sync'], 'events'),
  SECRET: setting.text('a secret of at least 8 characters', { minLength: 8 }),
  EXTRA_URL: Type.Optional(setting.url('http|https', 'an extra')),
});
const good = { DATABASE_URL: 'postgres://localhost/x', SECRET: 'long enough' };

test('defaults stand in, numbers are read from their text', () => {
  expect(loadConfig(schema, { ...good, PORT: '9000' })).toEqual({ ...good, PORT: 9000, MODE: 'events' });
  expect(loadConfig(schema, { ...good, PORT: '' }).PORT).toBe(8080);
});

test('all faults are told at once, by name, with what to do', () => {
  const load = () => loadConfig(schema, { PORT: 'eighty', MODE: 'both', EXTRA_URL: 'nowhere' });
  expect(load).toThrow(ConfigError);
  expect(load).toThrow(/PORT is wrong .*an integer from 0 to 65535/);
  expect(load).toThrow(
    /DATABASE_URL is missing: set it to the primary \(postgres:\/\/ or postgresql:\/\/…\)/,
  );
  expect(load).toThrow(/MODE is wrong .*events, sync/);
  expect(load).toThrow(/SECRET is missing/);
  expect(load).toThrow(/EXTRA_URL is wrong/);
});

test('a wrong value is never repeated, since it may be a secret', () => {
  try {
    loadConfig(schema, { ...good, SECRET: 'hunter2' });
    expect.unreachable();
  } catch (error) {
    expect(String(error)).toContain('SECRET is wrong');
    expect(String(error)).not.toContain('hunter2');
  }
});

test('a time zone is an IANA name that exists', () => {
  const zoned = Type.Object({ ZONE: setting.timeZone('the zone', 'Asia/Ho_Chi_Minh') });
  expect(loadConfig(zoned, {}).ZONE).toBe('Asia/Ho_Chi_Minh');
  expect(loadConfig(zoned, { ZONE: 'Europe/Berlin' }).ZONE).toBe('Europe/Berlin');
  for (const wrong of ['Asia/Nowhere', '7', 'GMT+25'])
    expect(() => loadConfig(zoned, { ZONE: wrong })).toThrow(/ZONE is wrong .*an IANA name/);
});
