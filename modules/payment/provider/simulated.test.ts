import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { createManualClock } from '@platform/clock.ts';
import { loadConfig } from '@platform/config.ts';
import { createIds } from '@platform/ids.ts';
import { createLog } from '@platform/log.ts';
import { createDatabase, type Database } from '@platform/postgres/database.ts';
import { migrate } from '@platform/postgres/migrate.ts';
import { createSeededRandom } from '@platform/random.ts';
import { createTestDatabase, type TestDatabase } from '@testing/postgres.ts';
import { migrations } from '../migrations/index.ts';
import { simulatedProviderSettings } from '../settings.ts';
import type { PaymentProvider, ProviderAnswer, ProviderNotice } from './provider.ts';
import { createSimulatedProvider } from './simulated.ts';

const clock = createManualClock(Date.UTC(2026, 10, 22));
const ids = createIds(clock, createSeededRandom(3));
const log = createLog('silent');
let testDatabase: TestDatabase;
let database: Database;
beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = createDatabase({
    url: testDatabase.url,
    schema: 'payment',
    poolMax: 4,
    statementTimeoutMs: 5_000,
    log,
  });
  await migrate(database, migrations, log);
});
afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

const open = (settings: Record<string, string> = {}, seed = 1): PaymentProvider =>
  createSimulatedProvider({
    database,
    clock,
    random: createSeededRandom(seed),
    ids,
    settings: loadConfig(simulatedProviderSettings, settings),
  });

const amount = { amountMinor: 71_000, currency: 'VND' } as const;
const asking = (token = 'tok_visa', idempotencyKey = ids<string>()) => ({
  idempotencyKey,
  reference: ids<string>(),
  amount,
  token,
});
const refOf = (answer: ProviderAnswer) => (answer.kind === 'ok' ? answer.ref : '');

describe('the simulated provider', () => {
  test('authorises, captures and refunds, each with its own reference', async () => {
    const provider = open();
    const request = asking();
    const authorised = await provider.authorise(request);
    const { reference } = request;
    const captured = await provider.capture({
      idempotencyKey: ids(),
      reference,
      amount,
      authorisationRef: refOf(authorised),
    });
    const refunded = await provider.refund({
      idempotencyKey: ids(),
      reference,
      amount,
      captureRef: refOf(captured),
    });
    expect(new Set([authorised, captured, refunded].map(refOf)).size).toBe(3);
  });

  test('acts once for a key and repeats the answer, even after a restart', async () => {
    const request = asking();
    const first = await open().authorise(request);
    expect(first.kind).toBe('ok');
    expect(await open().authorise(request)).toEqual(first);
    const [listed] = await open().list(request.reference);
    expect(listed?.idempotencyKey).toBe(request.idempotencyKey);
    expect(first).toEqual(listed?.answer ?? { kind: 'unknown' });
  });

  test('acts once for concurrent calls with the same key', async () => {
    const provider = open();
    const request = asking();
    const answers = await Promise.all([1, 2, 3, 4].map(() => provider.authorise(request)));
    expect(new Set(answers.map(refOf)).size).toBe(1);
  });

  test('rejects a key that was used for another amount', async () => {
    const provider = open();
    const request = asking();
    await provider.authorise(request);
    const other = { ...request, amount: { ...amount, amountMinor: 1 } };
    await expect(provider.authorise(other)).rejects.toThrow('another request');
  });

  test('lists nothing for an unknown reference', async () => {
    expect(await open().list(ids())).toEqual([]);
  });

  test('declines a capture without an authorisation', async () => {
    const provider = open();
    const request = { idempotencyKey: ids<string>(), reference: ids<string>(), amount };
    const captured = await provider.capture({ ...request, authorisationRef: ids() });
    expect(captured).toEqual({ kind: 'declined', reason: 'token_unknown' });
  });

  test('behaves as the card token selects', async () => {
    const provider = open();
    expect(await provider.authorise(asking('tok_declined'))).toEqual({
      kind: 'declined',
      reason: 'card_declined',
    });
    const lost = asking('tok_timeout');
    expect(await provider.authorise(lost)).toEqual({ kind: 'unknown' });
    expect((await provider.list(lost.reference)).map(({ answer }) => answer.kind)).toEqual(['ok']);
    expect((await provider.authorise(lost)).kind).toBe('ok');
    const notices: ProviderNotice[] = [];
    provider.onNotice(async (notice) => {
      notices.push(notice);
    });
    const twice = asking('tok_double');
    const answer = await provider.authorise(twice);
    expect(notices).toEqual([{ idempotencyKey: twice.idempotencyKey, reference: twice.reference, answer }]);
  });

  test('describes known tokens and no others', async () => {
    const provider = open();
    expect(await provider.describeCard('tok_mastercard')).toEqual({ label: 'Mastercard •••• 4444' });
    for (const token of ['tok_other', 'toString']) expect(await provider.describeCard(token)).toBeUndefined();
  });

  test('misbehaves the same way for the same seed', async () => {
    const settings = { PROVIDER_LOST_BASIS_POINTS: '4000', PROVIDER_DECLINE_BASIS_POINTS: '3000' };
    const run = async (seed: number) => {
      const provider = open(settings, seed);
      const kinds: string[] = [];
      for (let n = 0; n < 20; n++) kinds.push((await provider.authorise(asking())).kind);
      return kinds;
    };
    const first = await run(5);
    expect(new Set(first)).toEqual(new Set(['ok', 'declined', 'unknown']));
    expect(await run(5)).toEqual(first);
    expect(await run(6)).not.toEqual(first);
  });
});
