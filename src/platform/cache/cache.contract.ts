import { expect, test } from 'bun:test';
import { until } from '@testing/until.ts';
import type { Cache } from './cache.ts';

/** The contract of every cache. `open` returns an empty one. */
export function cacheContract(open: () => Promise<Cache>): void {
  const longMs = 60_000;

  test('returns a stored value', async () => {
    const cache = await open();
    await cache.set('quote:1', '{"fare":"71.000 đ"}', longMs);
    expect(await cache.get('quote:1')).toBe('{"fare":"71.000 đ"}');
  });

  test('returns undefined for a key that was never stored', async () => {
    expect(await (await open()).get('nobody')).toBeUndefined();
  });

  test('returns the newest value of a key', async () => {
    const cache = await open();
    await cache.set('key', 'old', longMs);
    await cache.set('key', 'new', longMs);
    expect(await cache.get('key')).toBe('new');
  });

  test('deletes a value, and deleting it again is no error', async () => {
    const cache = await open();
    await cache.set('key', 'value', longMs);
    await cache.delete('key');
    await cache.delete('key');
    expect(await cache.get('key')).toBeUndefined();
  });

  test('expires an entry after its TTL', async () => {
    const cache = await open();
    await cache.set('brief', 'value', 30);
    expect(await cache.get('brief')).toBe('value');
    await until(async () => (await cache.get('brief')) === undefined);
  });

  test('storing with a TTL of zero also removes the older value', async () => {
    const cache = await open();
    await cache.set('key', 'value', longMs);
    await cache.set('key', 'newer', 0);
    expect(await cache.get('key')).toBeUndefined();
  });

  test('answers a ping', async () => {
    await (await open()).ping();
  });
}
