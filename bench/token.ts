import { importJWK, jwtVerify } from 'jose';
import type { PersonId } from '../src/contracts/ids.ts';
import { createRevocations } from '../src/platform/auth/revocations.ts';
import { createVerifier } from '../src/platform/auth/verifier.ts';
import { systemClock } from '../src/platform/clock.ts';
import { createIds } from '../src/platform/ids.ts';
import { createLog } from '../src/platform/log.ts';
import { createMetrics } from '../src/platform/metrics.ts';
import { systemRandom } from '../src/platform/random.ts';
import type { Bench, BenchOptions, BenchResult } from './harness/bench.ts';
import { interleave, type Measure, measure, runClosedLoop } from './harness/rounds.ts';
import { type BenchSigner, createBenchSigner } from './token/signer.ts';

export const bench: Bench = {
  name: 'token',
  describes: 'verifying cached access tokens of 1,000 people, against jose',
  figures: [
    { key: 'ratio', label: 'tokens seen before ÷ jose', unit: 'ratio', goal: { min: 20 } },
    { key: 'nanosPerOp', label: 'a token seen before', unit: 'ns' },
  ],
  run,
};

const people = 1_000;
const sessionsEnded = 1_500;
/** WebCrypto runs outside the event loop, so several verifications at once are faster than one after another. */
const joseInFlight = 16;
const turns = 200;
const clock = systemClock;

/**
 * Both sides start from the bytes of an `Authorization` header, as a server gets them, and end with the
 * principal. Our verifier also checks the list of ended sessions of a busy day.
 */
async function run(options: BenchOptions): Promise<BenchResult> {
  const signer = createBenchSigner();
  const headers = Array.from({ length: people }, () => Buffer.from(`Bearer ${tokenOf(signer)}`));
  const tokens = turning(headers);
  const ours = createOurs(signer);
  for (const header of headers) await ours.verify(header.toString('latin1', 7));
  const comparison = await interleave(
    'known tokens',
    { ours: hot(ours, tokens), baseline: await jose(signer, tokens) },
    options,
  );

  options.reportProgress('tokens that are not cached');
  const fresh = await interleave(
    'new tokens',
    { ours: cold(signer, tokens), baseline: await jose(signer, tokens) },
    { ...options, rounds: Math.min(options.rounds, 3) },
  );
  return {
    ...comparison,
    nanosPerOp: Math.round(1e9 / comparison.perSecond),
    firstTimePerSecond: fresh.perSecond,
    joseFirstTimePerSecond: fresh.baselinePerSecond,
    firstTimeRatio: fresh.ratio,
  };
}

const ids = createIds(clock, systemRandom);

const tokenOf = (signer: BenchSigner): string =>
  signer.sign({ sub: ids<PersonId>(), role: 'rider', sid: ids<string>() }, clock.nowMs() / 1000 + 900);

/** Returns a new string each time, as every request has one, so that its hash is computed each time too. */
function turning(headers: readonly Buffer[]): () => string {
  let turn = 0;
  return () => headers[++turn % headers.length]?.toString('latin1', 7) ?? '';
}

function createOurs({ keySet, issuer, audience }: BenchSigner) {
  const ended = Array.from({ length: sessionsEnded }, () => ({ id: ids<string>(), atMs: clock.nowMs() }));
  const revocations = createRevocations({
    source: async () => ({
      sessions: ended,
      more: false,
      asOfMs: clock.nowMs(),
      keepMs: 900_000,
      endedKeyIds: [],
    }),
    clock,
    log: createLog('error'),
    metrics: createMetrics(),
  });
  return createVerifier({ clock, fetchKeySet: async () => keySet, revocations, issuer, audience });
}

/** Measures tokens that were verified before. */
function hot(verifier: ReturnType<typeof createOurs>, next: () => string): Measure {
  const block = async () => {
    for (let n = 0; n < turns; n++) {
      const principal = verifier.verify(next());
      if (principal instanceof Promise) await principal;
    }
  };
  return (seconds) => measure(async () => (await runClosedLoop(1, seconds, block)) * turns);
}

/** Measures tokens that were not verified before: after each pass through all tokens there is a new verifier. */
function cold(signer: BenchSigner, next: () => string): Measure {
  let verifier = createOurs(signer);
  let seen = 0;
  const verifyNext = async () => {
    if (++seen % people === 0) verifier = createOurs(signer);
    await verifier.verify(next());
  };
  return (seconds) => measure(() => runClosedLoop(joseInFlight, seconds, verifyNext));
}

async function jose({ keySet, issuer, audience }: BenchSigner, next: () => string): Promise<Measure> {
  const [jwk] = keySet.keys;
  if (jwk === undefined) throw new Error('the signer has no key');
  const key = await importJWK(jwk, 'EdDSA');
  const checks = { issuer, audience, algorithms: ['EdDSA'], typ: 'at+jwt' };
  return (seconds) =>
    measure(() => runClosedLoop(joseInFlight, seconds, () => jwtVerify(next(), key, checks)));
}
