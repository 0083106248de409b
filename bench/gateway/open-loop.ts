import { systemClock } from '../../src/platform/clock.ts';
import { createHttp1Client } from '../../src/platform/http1/client.ts';
import { atRate } from '../harness/rounds.ts';
import { type Percentiles, percentilesOf } from '../harness/statistics.ts';

const path = '/v1/trips/01a20438-5328-7000-be00-93adcfa25034';
const warmSeconds = 1;

/**
 * GETs at a steady pace, whether earlier ones were answered or not; latency counts from the moment that
 * each was due. `refused` are those that were shed with 503; any other answer than 200 throws.
 */
export async function openLoop(
  url: string,
  tokens: readonly string[],
  perSecond: number,
  seconds: number,
): Promise<Percentiles & { refused: number }> {
  const client = createHttp1Client({ url, clock: systemClock, connectTimeoutMs: 1_000 });
  const lines = tokens.map((token) => `authorization: Bearer ${token}\r\n`);
  let latenciesMs: number[] = [];
  let at = 0;
  let refused = 0;
  const ask = async (dueMs: number) => {
    const response = await client.send({
      method: 'GET',
      target: path,
      lines: lines[at++ % lines.length] ?? '',
      body: undefined,
      isGone: () => false,
      dueMs: systemClock.nowMs() + 10_000,
    });
    if (response.status === 503) refused++;
    else if (response.status !== 200) throw new Error(`${url} answered ${response.status}`);
    latenciesMs.push(performance.now() - dueMs);
  };
  try {
    await atRate(perSecond, warmSeconds, ask);
    latenciesMs = [];
    refused = 0;
    await atRate(perSecond, seconds, ask);
    return { ...percentilesOf(latenciesMs), refused };
  } finally {
    client.close();
  }
}
