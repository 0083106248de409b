import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DeadLetterDetail, DeadLetterQueue } from '@contracts/dead-letters.ts';
import type { LoginSession } from '@contracts/people.ts';
import { encodeEvent } from '@platform/bus/message.ts';
import { createBrokerNames } from '@platform/bus/topology.ts';
import { sampleTripEvent } from '@testing/events.ts';
import { createApiClient } from '@testing/people.ts';
import { testServers } from '@testing/servers.ts';
import { opsEmail, opsPassword, type RunningSystem, startSystem } from '@testing/topologies.ts';
import { until } from '@testing/until.ts';
import { connect } from 'amqplib';

const startTimeoutMs = 60_000;
const main = join(import.meta.dir, '../cli/main.ts');

interface CommandResult {
  code: number;
  out: string;
  err: string;
}

/** Runs `bun run dlq` in an empty folder. */
async function dlq(args: string[], env: Record<string, string>, cwd = tmpdir()): Promise<CommandResult> {
  const child = Bun.spawn([process.execPath, main, 'dlq', ...args], {
    cwd,
    env: { PATH: process.env.PATH ?? '', ...env },
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, err };
}

interface OperatorView {
  countDead(): Promise<number>;
  deadLetter(id: string): Promise<DeadLetterDetail>;
}

/** Reads payment.trips as an operator over HTTP, which is faster than starting a command. */
async function signIn(url: string): Promise<OperatorView> {
  const body = { email: opsEmail, password: opsPassword };
  const session = await createApiClient(url).request<LoginSession>('POST', '/v1/auth/login', { body });
  const client = createApiClient(url, session.body.tokens.accessToken);
  const base = '/v1/ops/dead-letters/payment';
  return {
    async countDead() {
      const { body } = await client.request<{ queues: DeadLetterQueue[] }>('GET', base);
      return body.queues[0]?.dead ?? Number.NaN;
    },
    deadLetter: async (id) =>
      (await client.request<DeadLetterDetail>('GET', `${base}/payment.trips/${id}`)).body,
  };
}

const asOps = { OPS_EMAIL: opsEmail, OPS_PASSWORD: opsPassword };

describe('on RabbitMQ, in a fleet', () => {
  const namespace = `dlq${process.pid}`;
  const names = createBrokerNames(namespace);
  let system: RunningSystem;

  let operator: OperatorView;

  beforeAll(async () => {
    system = await startSystem('fleet', { NAMESPACE: namespace });
    operator = await signIn(system.url);
  }, startTimeoutMs);
  afterAll(() => system?.stop(), startTimeoutMs);

  const ops = (...args: string[]) => dlq([...args, '--url', system.url], asOps);
  const opsJson = async (...args: string[]) => JSON.parse((await ops(...args, '--json')).out);

  /** Publishes messages directly to a queue, as a publisher with a bug would. */
  async function put(queue: string, messages: ReturnType<typeof encodeEvent>[]): Promise<void> {
    const model = await connect(testServers().amqp);
    const channel = await model.createConfirmChannel();
    for (const { content, options } of messages)
      channel.publish('', names.queue(queue), content, { ...options, mandatory: true });
    await channel.waitForConfirms();
    await model.close();
  }
  const completed = (changes: object = {}) => {
    const event = sampleTripEvent({ type: 'trip.completed.v1' });
    Object.assign(event.data, { status: 'completed', ...changes });
    return { id: event.id, message: encodeEvent(names.exchange, event) };
  };

  test(
    'a dead letter is listed, shown and redriven, and reported as already applied once its event was handled',
    async () => {
      const { id, message } = completed();
      // The time header is invalid, so the consumer cannot parse the event and rejects it.
      const malformed = structuredClone({ ...message, content: undefined });
      malformed.options.headers['ce-time'] = 'yesterday';
      await put('payment.trips', [{ ...malformed, content: message.content }]);
      await until(async () => (await operator.countDead()) === 1, { timeoutMs: 20_000 });

      const listed = await ops('list');
      expect(listed.code).toBe(0);
      expect(listed.out).toMatch(/payment\.trips +0 +1/);
      expect(listed.out).toContain(id);
      expect(listed.out).toContain('/time');
      for (const queue of [
        'driver.trips',
        'driver.people',
        'trip.dispatch',
        'trip.payments',
        'trip.people',
        'notification.push',
      ])
        expect(listed.out).toContain(queue);

      const masked = await opsJson('show', '--id', id);
      expect(masked).toMatchObject({ id, masked: true, alreadyApplied: false, redrives: 0 });
      expect(JSON.stringify(masked)).not.toContain('10.77');
      expect((await opsJson('show', '--id', id, '--reveal')).body.pickup.lat).toBe(10.77);

      // Redriven without a fix, it fails again and its redrives are counted.
      expect(await opsJson('redrive', '--id', id)).toMatchObject({ redriven: 1, alreadyApplied: 0 });
      await until(async () => (await operator.deadLetter(id)).redrives === 1, { timeoutMs: 20_000 });

      // The valid event arrives separately; after that the dead letter is a duplicate.
      await put('payment.trips', [message]);
      await until(async () => (await operator.deadLetter(id)).alreadyApplied === true, {
        timeoutMs: 20_000,
      });
      const again = await ops('redrive', '--id', id);
      expect([again.code, again.out]).toEqual([0, expect.stringContaining('already applied')]);
      await until(async () => (await operator.countDead()) === 1, { timeoutMs: 20_000 });
      const dropped = await ops('drop', '--id', id);
      expect([dropped.code, await operator.countDead()]).toEqual([0, 0]);
    },
    startTimeoutMs,
  );

  test(
    'dead letters of a fixed bug are redriven by their reason, many at once, and each is applied once',
    async () => {
      const rides = Array.from({ length: 60 }, () => completed());
      const poison = completed({ driverId: null });
      await put('payment.trips', [poison.message]);
      await until(async () => (await operator.countDead()) === 1, { timeoutMs: 20_000 });
      // As the consumer dead-letters them after its last attempt.
      await put(
        'payment.trips.dlq',
        rides.map(({ message }) => {
          const headers = { ...message.options.headers, 'uitgo-attempts': 12, 'uitgo-reason': 'disk full' };
          return { ...message, options: { ...message.options, headers } };
        }),
      );
      const redriven = await opsJson('redrive', '--queue', 'payment.trips', '--reason', 'Disk');
      expect([redriven.redriven, redriven.alreadyApplied]).toEqual([60, 0]);
      const ids = rides.map(({ id }) => id);
      const inbox = () => system.schema('payment')`
        select count(*)::int as count from inbox where event_id = any(${ids}::uuid[])`;
      await until(async () => (await inbox())[0]?.count === 60, { timeoutMs: 20_000 });
      expect(await opsJson('list', '--queue', 'payment.trips')).toMatchObject({
        queues: [{ queue: 'payment.trips', dead: 1 }],
        items: [{ id: poison.id, reason: 'completed trip has no driver' }],
      });

      const refused = await ops('drop', '--all');
      expect([refused.code, refused.err]).toEqual([2, expect.stringContaining('--yes')]);
      expect((await ops('drop', '--all', '--yes')).code).toBe(0);
      expect(await operator.countDead()).toBe(0);
      expect((await ops('drop', '--id', poison.id)).code).toBe(1);
    },
    startTimeoutMs,
  );
});

describe('in one process, embedded adapters', () => {
  let system: RunningSystem;
  let folder: string;
  beforeAll(async () => {
    system = await startSystem('one process, embedded adapters');
    folder = mkdtempSync(join(tmpdir(), 'uitgo-dlq-'));
  }, startTimeoutMs);
  afterAll(async () => {
    await system?.stop();
    rmSync(folder, { recursive: true, force: true });
  }, startTimeoutMs);

  test('a dead letter is redriven, fails again, is reported as already applied, and is dropped', async () => {
    const operator = await signIn(system.url);
    const ops = (...args: string[]) => dlq([...args, '--url', system.url], asOps);
    const event = sampleTripEvent({ type: 'trip.completed.v1' });
    event.data.driverId = null;
    const { id, type, subject, data } = event;
    // As the trip context would publish it if it had such a bug.
    await system.schema('trip')`
      insert into outbox (event_id, type, subject, time_ms, data)
      values (${id}, ${type}, ${subject}, ${Date.parse(event.time)}, ${JSON.stringify(data)}::text::jsonb)`;
    await until(async () => (await operator.countDead()) === 1);
    const listed = await ops('list', '--queue', 'payment.trips');
    expect(listed.out).toMatch(new RegExp(`${id} .* no .* completed trip has no driver`));

    const redriven = await ops('redrive', '--all');
    expect([redriven.code, redriven.out]).toEqual([0, expect.stringContaining('1 redriven, 0 of them')]);
    const again = await until(async () => {
      const deadLetter = await operator.deadLetter(id);
      return deadLetter.redrives === 1 && deadLetter;
    });
    expect(again).toMatchObject({ attempts: 1, alreadyApplied: false, masked: true });

    await system.schema('payment')`
      insert into inbox (consumer, event_id, at_ms) values ('payment.trips', ${id}, 0)`;
    const applied = await ops('redrive', '--id', id);
    expect(applied.out).toContain('already applied: has no effect');
    await until(async () => (await operator.deadLetter(id)).redrives === 2);
    const dropped = await ops('drop', '--id', id, '--json');
    expect(JSON.parse(dropped.out)).toMatchObject({ dropped: 1, alreadyApplied: 1, items: [{ id }] });
    expect(await operator.countDead()).toBe(0);
  }, 30_000);

  test('the command finds the operator account of the dev or stack that runs in this folder', async () => {
    const secrets = join(folder, 'secrets.json');
    writeFileSync(secrets, JSON.stringify(asOps));
    mkdirSync(join(folder, '.uitgo'), { recursive: true });
    writeFileSync(join(folder, '.uitgo', 'edge.json'), JSON.stringify({ url: system.url, secrets }));
    const { code, out, err } = await dlq(['list', '--json'], {}, folder);
    expect([code, err]).toEqual([0, '']);
    expect(JSON.parse(out)).toEqual({
      queues: [
        ...[
          'driver.trips',
          'driver.people',
          'trip.dispatch',
          'trip.payments',
          'trip.people',
          'payment.trips',
          'notification.push',
        ],
      ].map((queue) => ({ queue, ready: 0, dead: 0 })),
      items: [],
      more: false,
    });
    // The password is not sent to any other address.
    const elsewhere = await dlq(
      ['list', '--url', `${system.url.replace('127.0.0.1', 'localhost')}`],
      {},
      folder,
    );
    expect([elsewhere.code, elsewhere.err]).toEqual([2, expect.stringContaining('OPS_EMAIL')]);
  });

  test('wrong credentials, an unreachable edge and an unknown queue are reported', async () => {
    const wrong = await dlq(['list', '--url', system.url], { ...asOps, OPS_PASSWORD: 'not this one' });
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('auth.')]);
    const unreachable = await dlq(['list', '--url', 'http://127.0.0.1:1'], asOps);
    expect([unreachable.code, unreachable.err]).toEqual([2, expect.stringContaining('no answer from')]);
    const forged = await dlq(['list', '--url', system.url, '--token', 'x.y.z'], {});
    expect([forged.code, forged.err]).toEqual([2, expect.stringContaining('auth.token_invalid')]);
    const queue = await dlq(['list', '--url', system.url, '--queue', 'billing.trips'], asOps);
    expect([queue.code, queue.err]).toEqual([2, expect.stringContaining('no queue billing.trips')]);
  });
});
