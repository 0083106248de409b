import { expect, test } from 'bun:test';
import { createMetrics } from '@platform/metrics.ts';
import { createPasswords, unknownAccountHash } from './passwords.ts';

const create = (parallelMax: number, waitingMax: number) =>
  createPasswords({ metrics: createMetrics(), parallelMax, waitingMax });

test('a password is verified against its hash', async () => {
  const passwords = create(2, 10);
  const hash = await passwords.hash('correct horse 5');
  expect(await passwords.verify('correct horse 5', hash)).toBe(true);
  expect(await passwords.verify('correct horse 6', hash)).toBe(false);
});

test('verifying takes the same algorithm and parameters for unknown and known accounts', async () => {
  const passwords = create(2, 10);
  const parametersOf = (hash: string) => hash.split('$').slice(0, 4).join('$');
  expect(parametersOf(unknownAccountHash)).toBe(parametersOf(await passwords.hash('correct horse 5')));
  expect(unknownAccountHash).toStartWith('$argon2id$v=19$m=19456,t=2,');
  expect(await passwords.verify('correct horse 5', undefined)).toBe(false);
});

test('calls beyond the running and waiting ones fail at once, and waiting calls run in order', async () => {
  const passwords = create(1, 2);
  const order: number[] = [];
  const served = [0, 1, 2].map((turn) => passwords.hash('correct horse 5').then(() => order.push(turn)));
  await expect(passwords.hash('one too many')).rejects.toThrow('service.unavailable');
  await Promise.all(served);
  expect(order).toEqual([0, 1, 2]);
  expect(await passwords.hash('room again')).toStartWith('$argon2id$');
});

test('an invalid hash frees its slot', async () => {
  const passwords = create(1, 0);
  await expect(passwords.verify('correct horse 5', 'not a hash')).rejects.toThrow();
  expect(await passwords.hash('correct horse 5')).toStartWith('$argon2id$');
});
