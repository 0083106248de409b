import { systemClock } from '../../src/platform/clock.ts';
import { createHttp1Client } from '../../src/platform/http1/client.ts';
import type { BenchOptions } from '../harness/bench.ts';
import { type OpenLoopResult, runOpenLoop, runOpenLoopPart } from '../harness/open-loop.ts';

const path = '/v1/trips/01a20438-5328-7000-be00-93adcfa25034';
const warmSeconds = 1;
// Each request in flight has a connection of its own. Without a bound a pause of the machine opened one
// for every request that became due in it, more than a listener's queue takes, and the rest of the run failed.
const connectionsMax = 256;
const answerMsMax = 10_000;

export interface OpenLoopOptions {
  tokens: readonly string[];
  perSecond: number;
}

/** GETs at a steady pace; what is answered with anything but 200 counts as failed, by its status. */
export async function askAtRate(
  options: BenchOptions,
  name: string,
  url: string,
  { tokens, perSecond }: OpenLoopOptions,
): Promise<OpenLoopResult> {
  const client = createHttp1Client({ url, clock: systemClock, connectTimeoutMs: 1_000 });
  const lines = tokens.map((token) => `authorization: Bearer ${token}\r\n`);
  let next = 0;
  const operate = async () => {
    const response = await client.send({
      method: 'GET',
      target: path,
      lines: lines[next++ % lines.length] ?? '',
      body: undefined,
      isAbandoned: () => false,
      dueMs: systemClock.nowMs() + answerMsMax,
    });
    if (response.status !== 200) throw new Error(`status ${response.status}`);
  };
  const load = { perSecond, inFlightMax: connectionsMax, operate };
  try {
    await runOpenLoop({ ...load, seconds: warmSeconds });
    return await runOpenLoopPart(options, name, { ...load, seconds: options.seconds });
  } finally {
    client.close();
  }
}
