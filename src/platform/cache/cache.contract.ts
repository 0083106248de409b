import { expect, test } from 'bun:test';
import { until } from '@testing/until.ts';
import type { Cache } from './cache.ts';

/** What every cache promises; `open` gives an empty one. */
export function cacheContract(open: () => Promise<Cache>): void {
  const longMs = 60_000;

  test('gives back what was kept', async () => {
    const cache = await open();
    await cache.set('quote:1', '{"fare":"71.000 đ"}', longMs);
    expect(await cache.get('quote:1')).toBe('{"fare":"71.000 đ"}');
  });

  test('knows nothing of a key that was never kept', async () => {
    expect(await (await open()).get('nobody')).toBeUndefined();
  });

  test('keeps the newest value of a key', async () => {
    const cache = await open();
    await cache.set('key', 'old', longMs);
    await cache.set('key', 'new', longMs);
    expect(await cache.get('key')).toBe('new');
  });

  test('forgets what is deleted, and does not mind deleting nothing', async () => {
    const cache = await open();
    await cache.set('key', 'value', longMs);
    await cache.delete('key');
    await cache.delete('key');
    expect(await cache.get('key')).toBeUndefined();
  });

  test('forgets an entry when its time is up', async () => {
    const cache = await open();
    await cache.set('brief', 'value', 30);
    expect(await cache.get('brief')).toBe('value');
    await until(async () => (await cache.get('brief')) === undefined);
  });

  test('keeps nothing whose time is up already, not even the older value', async () => {
    const cache = await open();
    await cache.set('key', 'value', longMs);
    await cache.set('key', 'newer', 0);
    expect(await cache.get('key')).toBeUndefined();
  });

  test('answers a ping', async () => {
    await (await open()).ping();
  });
}
