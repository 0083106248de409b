import { beforeEach, expect, test } from 'bun:test';
import type { RevocationsCursor, RevocationsPage } from '@contracts/revocations.ts';
import { createTestTokens } from '@testing/tokens.ts';
import { createManualClock, type ManualClock } from '../clock.ts';
import { createLog } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics.ts';
import { Problem } from '../problems.ts';
import { createRevocations } from './revocations.ts';

const startMs = Date.UTC(2026, 10, 22, 8);
const rider = '01a20438-5328-7000-be00-93adcfa25034';
const keepMs = 900_000;
const pageSize = 3;

let clock: ManualClock;
let metrics: Metrics;
let queries: RevocationsCursor[];
let ended: { id: string; atMs: number }[];
let endedKeyIds: string[];
/** Whether the source answers at once, hangs or fails. */
let source: 'answers' | 'hangs' | 'fails';

beforeEach(() => {
  clock = createManualClock(startMs);
  metrics = createMetrics();
  [queries, ended, endedKeyIds, source] = [[], [], [], 'answers'];
});

async function answer({ sinceMs, afterId = '' }: RevocationsCursor): Promise<RevocationsPage> {
  queries.push({ sinceMs, afterId });
  if (source === 'hangs') return new Promise(() => undefined);
  if (source === 'fails') throw new Error('the user service is unavailable');
  const rest = ended.filter(({ id, atMs }) => atMs > sinceMs || (atMs === sinceMs && id > afterId));
  const sessions = rest.slice(0, pageSize);
  return { sessions, more: rest.length > pageSize, asOfMs: clock.nowMs(), keepMs, endedKeyIds };
}

function start() {
  const revocations = createRevocations({ source: answer, clock, log: createLog('silent'), metrics });
  const tokens = createTestTokens(clock, revocations);
  const codeFor = async (token: string): Promise<string> => {
    try {
      await tokens.verifier.verify(token);
      return 'accepted';
    } catch (error) {
      if (error instanceof Problem) return error.code;
      throw error;
    }
  };
  return { revocations, tokens, codeFor };
}
const endSession = (id: string) => ended.push({ id, atMs: clock.nowMs() });

test('an ended session is rejected within three seconds, and under traffic within little more than one', async () => {
  const { tokens, codeFor } = start();
  const token = tokens.token(rider, 'rider', { sessionId: 'a', expiresInSeconds: 60 });
  const other = tokens.token(rider, 'rider', { sessionId: 'b', expiresInSeconds: 60 });
  expect(await codeFor(token)).toBe('accepted');
  endSession('a');
  await clock.advance(1_000);
  await codeFor(other);
  await clock.advance(1);
  expect(await codeFor(token)).toBe('auth.token_revoked');
  expect(await codeFor(other)).toBe('accepted');
});

test('after a time without requests the first one waits for the list, so that no ended session is accepted', async () => {
  const { tokens, codeFor } = start();
  const token = tokens.token(rider, 'rider', { sessionId: 'a' });
  expect(await codeFor(token)).toBe('accepted');
  await clock.advance(60_000);
  endSession('a');
  await clock.advance(60_000);
  expect(await codeFor(token)).toBe('auth.token_revoked');
});

test('a process that has just started reads the list before it accepts the first request', async () => {
  endSession('a');
  const { tokens, codeFor } = start();
  expect(await codeFor(tokens.token(rider, 'rider', { sessionId: 'a' }))).toBe('auth.token_revoked');
});

test('the list is refreshed at most once a second, however many requests come', async () => {
  const { tokens, codeFor } = start();
  const token = tokens.token(rider, 'rider');
  for (let n = 0; n < 200; n++) {
    await codeFor(token);
    await clock.advance(10);
  }
  expect(queries.length).toBeLessThanOrEqual(3);
  expect(queries.length).toBeGreaterThanOrEqual(2);
});

test('a list of many pages is read completely, also when many sessions ended in one millisecond', async () => {
  for (let n = 0; n < 20; n++) endSession(`session-${String(n).padStart(2, '0')}`);
  const { revocations } = start();
  await revocations.refreshIfStale(clock.nowMs());
  for (const { id } of ended) expect([id, revocations.isRevoked(id)]).toEqual([id, true]);
});

test('a revocation that was committed late is still read, since each refresh overlaps the one before', async () => {
  const { revocations } = start();
  await revocations.refreshIfStale(clock.nowMs());
  const lateMs = clock.nowMs() - 5_000;
  await clock.advance(4_000);
  ended.push({ id: 'late', atMs: lateMs });
  await revocations.refreshIfStale(clock.nowMs());
  expect(revocations.isRevoked('late')).toBe(true);
});

test('a session is removed from the list once its last access token has expired', async () => {
  endSession('a');
  const { revocations } = start();
  await revocations.refreshIfStale(clock.nowMs());
  ended = [];
  await clock.advance(keepMs - 1);
  await revocations.refreshIfStale(clock.nowMs());
  expect(revocations.isRevoked('a')).toBe(true);
  await clock.advance(5_000);
  await revocations.refreshIfStale(clock.nowMs());
  expect(revocations.isRevoked('a')).toBe(false);
});

test('while refreshes fail, known sessions stay revoked, others are accepted, and a metric counts it', async () => {
  endSession('a');
  const { tokens, codeFor } = start();
  const [revokedToken, activeToken] = ['a', 'b'].map((sessionId) =>
    tokens.token(rider, 'rider', { sessionId }),
  );
  expect(await codeFor(revokedToken ?? '')).toBe('auth.token_revoked');
  expect(await codeFor(activeToken ?? '')).toBe('accepted');
  source = 'fails';
  for (let n = 0; n < 5; n++) {
    await clock.advance(10_000);
    expect(await codeFor(revokedToken ?? '')).toBe('auth.token_revoked');
    expect(await codeFor(activeToken ?? '')).toBe('accepted');
  }
  expect(metrics.text()).toContain('auth_revocations_unheard_total 5');
  expect(metrics.text()).toContain('auth_revocations_age_ms 50000');
});

test('while a refresh hangs, requests are decided by a young list without waiting', async () => {
  const { tokens } = start();
  const token = tokens.token(rider, 'rider');
  await tokens.verifier.verify(token);
  source = 'hangs';
  await clock.advance(1_500);
  expect(tokens.verifier.verify(token)).toMatchObject({ id: rider });
});

test('while refreshes fail, only the first request waits', async () => {
  const { tokens, codeFor } = start();
  const token = tokens.token(rider, 'rider');
  await codeFor(token);
  source = 'fails';
  await clock.advance(10_000);
  expect(await codeFor(token)).toBe('accepted');
  source = 'hangs';
  await clock.advance(1_000);
  expect(tokens.verifier.verify(token)).toMatchObject({ id: rider });
});

test('a revoked key invalidates the tokens that it signed, cached or not', async () => {
  const { tokens, codeFor } = start();
  const [cachedToken, newToken] = ['a', 'b'].map((sessionId) => tokens.token(rider, 'rider', { sessionId }));
  expect(await codeFor(cachedToken ?? '')).toBe('accepted');
  endedKeyIds = tokens.keySet.keys.map(({ kid }) => kid);
  await clock.advance(5_000);
  expect(await codeFor(cachedToken ?? '')).toBe('auth.token_invalid');
  expect(await codeFor(newToken ?? '')).toBe('auth.token_invalid');
  await clock.advance(60_000);
  expect(await codeFor(cachedToken ?? '')).toBe('auth.token_invalid');
});
