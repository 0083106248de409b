import { join } from 'node:path';
import { openLoop } from './gateway/open-loop.ts';
import { type GatewayBench, needHaproxy, startAll, type Target } from './gateway/processes.ts';
import type { Bench, BenchOptions, BenchResult } from './harness/bench.ts';
import { type Interleaved, interleave, type Measure } from './harness/rounds.ts';
import { median, rounded } from './harness/statistics.ts';
import { needWrk, runWrk } from './harness/wrk.ts';

export const bench: Bench = {
  name: 'gateway',
  describes:
    'GET and POST through the gateway against HAProxy as a plain proxy; the edge in one process against none',
  run,
};

const script = join(import.meta.dir, 'gateway/requests.lua');
const connections = 64;
const latencyRoundsMax = 5;
type Method = 'GET' | 'POST';

async function run(options: BenchOptions): Promise<BenchResult> {
  needWrk();
  needHaproxy();
  const servers = await options.startServers({ redis: true });
  const all = await startAll(servers.cacheRedis?.url ?? '', options.say);
  const load = (target: Target, method: Method): Measure => {
    return (seconds) =>
      runWrk(
        {
          url: target.url,
          connections,
          script,
          args: [method, all.tokensFile],
          pids: target.pids(),
          serverPids: all.upstream.pids(),
        },
        seconds,
      );
  };
  const compare = (ours: Target, baseline: Target, method: Method): Promise<Interleaved> => {
    options.say(`${method}:`);
    return interleave({ ours: load(ours, method), baseline: load(baseline, method) }, options);
  };
  try {
    options.say('through the gateway, against HAProxy');
    const [get, post] = [
      await compare(all.gateway, all.haproxy, 'GET'),
      await compare(all.gateway, all.haproxy, 'POST'),
    ];
    options.say('in one process with the edge, against the bare app');
    const [getInProcess, postInProcess] = [
      await compare(all.hooked, all.bare, 'GET'),
      await compare(all.hooked, all.bare, 'POST'),
    ];
    const latency = await atHalfLoad(all, get.perSecond / 2, options);
    // The worse of the two methods speaks for both.
    const worse = get.ratio <= post.ratio ? get : post;
    return {
      ...worse,
      ratioGet: get.ratio,
      ratioPost: post.ratio,
      ratioGetRange: get.ratioRange,
      ratioPostRange: post.ratioRange,
      cpuMicrosPerGet: get.cpuMicrosPerOp,
      cpuMicrosPerPost: post.cpuMicrosPerOp,
      ratioInProcess: Math.min(getInProcess.ratio, postInProcess.ratio),
      ratioGetInProcess: getInProcess.ratio,
      ratioPostInProcess: postInProcess.ratio,
      inProcessCpuMicrosPerGet: getInProcess.cpuMicrosPerOp,
      bareCpuMicrosPerGet: getInProcess.baselineCpuMicrosPerOp,
      ...latency,
      generator: `wrk -t1 -c${connections}, closed loop; latency: open loop`,
    };
  } finally {
    await all.stop();
  }
}

/** GETs at half of what the gateway carries, in turns: through it, through HAProxy, and with neither. */
async function atHalfLoad(all: GatewayBench, perSecond: number, options: BenchOptions) {
  options.say(`open loop at half load, ${Math.round(perSecond)}/s`);
  const targets = { gateway: all.gateway, haproxy: all.haproxy, direct: all.upstream };
  const p99Ms: Record<keyof typeof targets, number[]> = { gateway: [], haproxy: [], direct: [] };
  const [p50Ms, p95Ms]: [number[], number[]] = [[], []];
  let refused = 0;
  for (let round = 0; round < Math.min(options.rounds, latencyRoundsMax); round++) {
    const order = ['gateway', 'haproxy', 'direct'] as const;
    for (const name of round % 2 === 0 ? order : order.toReversed()) {
      options.signal.throwIfAborted();
      const found = await openLoop(targets[name].url, all.tokens, perSecond, options.seconds);
      p99Ms[name].push(found.p99Ms);
      if (name !== 'gateway') continue;
      p50Ms.push(found.p50Ms);
      p95Ms.push(found.p95Ms);
      refused += found.refused;
    }
  }
  return {
    openLoopPerSecond: rounded(perSecond),
    openLoopRefused: refused,
    p50Ms: rounded(median(p50Ms)),
    p95Ms: rounded(median(p95Ms)),
    p99Ms: rounded(median(p99Ms.gateway)),
    haproxyP99Ms: rounded(median(p99Ms.haproxy)),
    directP99Ms: rounded(median(p99Ms.direct)),
    addedP99Ms: rounded(median(p99Ms.gateway) - median(p99Ms.direct)),
  };
}
