import { expect, test } from 'bun:test';
import { createServer } from 'node:net';
import { findFreePort, withPort } from './ports.ts';
import { ServerError } from './types.ts';

const taken = (port: number) => new ServerError('server.port_taken', `port ${port}`);

test('no port is returned twice', async () => {
  const ports = await Promise.all(Array.from({ length: 50 }, findFreePort));
  expect(new Set(ports).size).toBe(50);
});

test('a port is outside the range of ephemeral ports', async () => {
  expect(await findFreePort()).toBeLessThan(32_768);
});

test('a server whose port was taken in between starts on another one', async () => {
  const tried: number[] = [];
  const used = await withPort(undefined, async (port) => {
    tried.push(port);
    if (tried.length < 3) throw taken(port);
    return port;
  });
  expect(tried).toHaveLength(3);
  expect(used).toBe(tried[2] ?? 0);
});

test('a requested port is tried once', async () => {
  let attempts = 0;
  const start = withPort(4711, async (port) => {
    attempts += 1;
    throw taken(port);
  });
  await expect(start).rejects.toMatchObject({ code: 'server.port_taken' });
  expect(attempts).toBe(1);
});

test('a port in use is not returned', async () => {
  const holder = createServer();
  const port = await findFreePort();
  await new Promise<void>((resolve) => holder.listen(port, '127.0.0.1', resolve));
  const others = await Promise.all(Array.from({ length: 20 }, findFreePort));
  expect(others).not.toContain(port);
  holder.close();
});
