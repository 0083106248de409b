import { join } from 'node:path';
import { askAtRate } from './gateway/open-loop.ts';
import { type GatewayBench, startAll, type Target } from './gateway/processes.ts';
import type { Bench, BenchOptions, BenchResult } from './harness/bench.ts';
import { haproxy, wrk } from './harness/programs.ts';
import { type Interleaved, interleave, type Measure } from './harness/rounds.ts';
import { median, roundToFourDigits } from './harness/statistics.ts';
import { runWrk } from './harness/wrk.ts';

export const bench: Bench = {
  name: 'gateway',
  describes:
    'GET and POST through the gateway against HAProxy, as a plain proxy and doing the same work; the edge in one process against none',
  programs: [wrk, haproxy],
  figures: [
    { key: 'ratioGet', label: 'GET ÷ HAProxy as a plain proxy', unit: 'ratio', goal: { min: 0.75 } },
    { key: 'ratioPost', label: 'POST ÷ HAProxy as a plain proxy', unit: 'ratio', goal: { min: 0.75 } },
    {
      key: 'ratioSameWork',
      label: 'GET ÷ HAProxy that verifies tokens, limits and checks health',
      unit: 'ratio',
      goal: { min: 1.5 },
    },
    {
      key: 'ratioGetInProcess',
      label: 'GET in one process ÷ without the edge',
      unit: 'ratio',
      goal: { min: 0.85 },
    },
    {
      key: 'ratioPostInProcess',
      label: 'POST in one process ÷ without the edge',
      unit: 'ratio',
      goal: { min: 0.85 },
    },
    { key: 'cpuMicrosPerGet', label: 'CPU of the gateway per GET', unit: 'µs' },
    { key: 'addedP99Ms', label: 'latency added at half load, p99', unit: 'ms', goal: { max: 5 } },
  ],
  run,
};

const script = join(import.meta.dir, 'gateway/requests.lua');
const connections = 64;
const latencyRoundsMax = 5;
type Method = 'GET' | 'POST';

async function run(options: BenchOptions): Promise<BenchResult> {
  const servers = await options.startServers({ redis: true });
  const all = await startAll(servers.cacheRedis?.url ?? '', options.reportProgress);
  const load = (target: Target, method: Method): Measure => {
    return (seconds) =>
      runWrk(
        {
          url: target.url,
          connections,
          script,
          args: [method, target.tokensFile],
          pids: target.pids(),
          serverPids: all.upstream.pids(),
        },
        seconds,
      );
  };
  const compare = (where: string, ours: Target, baseline: Target, method: Method): Promise<Interleaved> => {
    const name = `${method} ${where}`;
    options.reportProgress(`${name}:`);
    return interleave(name, { ours: load(ours, method), baseline: load(baseline, method) }, options);
  };
  try {
    const fleet = 'through the gateway, against HAProxy';
    const [get, post] = [
      await compare(fleet, all.gateway, all.haproxy, 'GET'),
      await compare(fleet, all.gateway, all.haproxy, 'POST'),
    ];
    const sameWork = 'through the gateway, against HAProxy that verifies tokens, limits and checks health';
    const getSameWork = await compare(sameWork, all.gateway, all.haproxyEdge, 'GET');
    const inProcess = 'in one process with the edge, against the bare app';
    const [getInProcess, postInProcess] = [
      await compare(inProcess, all.hooked, all.bare, 'GET'),
      await compare(inProcess, all.hooked, all.bare, 'POST'),
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
      ratioSameWork: getSameWork.ratio,
      ratioSameWorkRange: getSameWork.ratioRange,
      haproxySameWorkPerSecond: getSameWork.baselinePerSecond,
      haproxySameWorkCpuMicrosPerGet: getSameWork.baselineCpuMicrosPerOp,
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
  const targets = { gateway: all.gateway, haproxy: all.haproxy, direct: all.upstream };
  const p99Ms: Record<keyof typeof targets, number[]> = { gateway: [], haproxy: [], direct: [] };
  const [p50Ms, p95Ms]: [number[], number[]] = [[], []];
  const failed: Record<string, number> = {};
  for (let round = 0; round < Math.min(options.rounds, latencyRoundsMax); round++) {
    const order = ['gateway', 'haproxy', 'direct'] as const;
    for (const name of round % 2 === 0 ? order : order.toReversed()) {
      const found = await askAtRate(options, `${name}, round ${round + 1}`, targets[name].url, {
        tokens: all.tokens,
        perSecond,
      });
      p99Ms[name].push(found.p99Ms);
      for (const [code, count] of Object.entries(found.failed)) {
        const key = `${name}: ${code}`;
        failed[key] = (failed[key] ?? 0) + count;
      }
      if (name !== 'gateway') continue;
      p50Ms.push(found.p50Ms);
      p95Ms.push(found.p95Ms);
    }
  }
  return {
    openLoopPerSecond: roundToFourDigits(perSecond),
    openLoopFailed: failed,
    p50Ms: roundToFourDigits(median(p50Ms)),
    p95Ms: roundToFourDigits(median(p95Ms)),
    p99Ms: roundToFourDigits(median(p99Ms.gateway)),
    haproxyP99Ms: roundToFourDigits(median(p99Ms.haproxy)),
    directP99Ms: roundToFourDigits(median(p99Ms.direct)),
    addedP99Ms: roundToFourDigits(median(p99Ms.gateway) - median(p99Ms.direct)),
  };
}
