import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { connect } from 'amqplib';
import { startPrivateRabbitmq } from '../../testing/private-servers.ts';
import { isProcessAlive } from './process-tree.ts';
import type { RunningServer } from './types.ts';

// Starting a server takes seconds, more on a busy machine.
setDefaultTimeout(60_000);

let server: RunningServer;
beforeAll(async () => {
  server = await startPrivateRabbitmq();
});
afterAll(() => server.stop());

const queue = 'kept';
const arguments_ = { 'x-queue-type': 'quorum' };

test('a message in a quorum queue survives a restart on the same port', async () => {
  const before = await connect(server.url);
  before.on('error', () => undefined);
  const channel = await before.createConfirmChannel();
  channel.on('error', () => undefined);
  await channel.assertQueue(queue, { durable: true, arguments: arguments_ });
  channel.sendToQueue(queue, Buffer.from('hello'), { persistent: true });
  await channel.waitForConfirms();

  await server.restart();

  const after = await connect(server.url);
  const message = await (await after.createChannel()).get(queue, { noAck: true });
  expect(message === false ? undefined : message.content.toString()).toBe('hello');
  await after.close();
});

test('after kill -9 it restarts on the same port', async () => {
  const pids = server.pids();
  await server.kill('SIGKILL');
  // Its name service keeps running.
  expect(pids.filter(isProcessAlive)).toEqual(server.pids());
  await expect(connect(server.url)).rejects.toThrow('ECONNREFUSED');
  await server.restart();
  await (await connect(server.url)).close();
});

test('a login without the password is rejected', async () => {
  const url = new URL(server.url);
  url.username = 'guest';
  url.password = 'guest';
  await expect(connect(url.href)).rejects.toThrow('ACCESS_REFUSED');
});

test('stopping leaves no process, including the name service', async () => {
  const pids = server.pids();
  expect(pids.length).toBeGreaterThan(2);
  await server.stop();
  expect(pids.filter(isProcessAlive)).toEqual([]);
});
