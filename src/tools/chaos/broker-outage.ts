import { systemClock } from '@platform/clock.ts';
import { createCity } from '../city/index.ts';
import { checkFinalInvariants, countOutboxRows, readQueueDepths } from './audit.ts';
import { createClientHistory } from './client-history.ts';
import { startEventRecorder } from './event-recorder.ts';
import { isCreated, latencyP95Ms, startTripProbe, type TripProbe } from './probe.ts';
import { startTestBed, type TestBed } from './test-bed.ts';

export interface BrokerOutageOptions {
  seed: number;
  drivers: number;
  /** How long RabbitMQ is stopped. */
  outageMs: number;
  signal: AbortSignal;
  report: (line: string) => void;
}

export interface BrokerOutageSummary {
  scenario: 'broker-away';
  awaySeconds: number;
  /** Trips asked for while the broker was away, and those of them that were answered 201. */
  asked: number;
  created: number;
  createP95Ms: number;
  /** Rows in the outboxes at the end of the outage, and the time from the broker's return until there were none. */
  backlogRows: number;
  drainedMs: number;
  /** Of any one queue, from the return until everything was drained. */
  queueDepthMax: number;
  events: number;
  completed: number;
  violations: string[];
}

// Who finds no driver waits less long for the end of that, and so does the scenario.
const settings = { SEARCH_TIMEOUT_SECONDS: '20', LIMIT_REALTIME_PER_MINUTE: '60000' };
const warmUpMs = 8_000;
const drainMsMax = 60_000;
const queueDepthBound = 5_000;
const pollMs = 200;
const drivingMs = 10_000;

/** RabbitMQ is stopped under load and comes back: trips are taken all the while, and no event is lost. */
export async function runBrokerOutage(options: BrokerOutageOptions): Promise<BrokerOutageSummary> {
  const { report, signal } = options;
  const stand = await startTestBed({ env: settings, signal, report });
  const leaving = new AbortController();
  try {
    const history = createClientHistory();
    const eavesdropper = await startEventRecorder(stand.server('rabbitmq').url);
    const city = createCity({
      url: stand.url,
      seed: options.seed,
      drivers: options.drivers,
      trips: Number.POSITIVE_INFINITY,
      timeScale: 60,
      observer: history.callObserver,
    });
    const living = city.run(leaving.signal);
    living.catch(() => undefined);
    const probe = await startTripProbe(stand.url, history.callObserver);
    while (city.progress().phase === 'enrolling') await systemClock.sleep(pollMs, signal);
    await systemClock.sleep(warmUpMs, signal);

    const outage = await stopBroker(stand, probe, options);
    await systemClock.sleep(drivingMs, signal);
    await probe.stop();
    city.stop();
    const summary = await living;
    const audited = await checkFinalInvariants(stand, history, eavesdropper);
    const seen = summary.violations.map(({ rule, detail }) => `city: ${rule}: ${detail}`);
    return {
      scenario: 'broker-away',
      awaySeconds: options.outageMs / 1_000,
      ...outage,
      events: audited.events,
      completed: summary.completed,
      violations: [...judge(outage), ...seen, ...audited.violations],
    };
  } finally {
    leaving.abort();
    await stand.stop();
  }
}

type Outage = Pick<
  BrokerOutageSummary,
  'asked' | 'created' | 'createP95Ms' | 'backlogRows' | 'drainedMs' | 'queueDepthMax'
>;

async function stopBroker(
  stand: TestBed,
  probe: TripProbe,
  { outageMs, report, signal }: BrokerOutageOptions,
): Promise<Outage> {
  const fromMs = systemClock.nowMs();
  await stand.server('rabbitmq').kill('SIGTERM');
  report(`RabbitMQ is stopped for ${outageMs / 1_000} s`);
  await systemClock.sleep(outageMs, signal);
  const backlogRows = await countOutboxRows(stand);
  const untilMs = systemClock.nowMs();
  await stand.server('rabbitmq').restart();
  const backMs = systemClock.nowMs();
  report(`RabbitMQ is back; ${backlogRows} events wait in the outboxes`);
  const { drainedMs, queueDepthMax } = await drain(stand, backMs);
  report(`drained after ${drainedMs} ms; no queue held more than ${queueDepthMax}`);
  const asked = probe.samples().filter(({ sentAtMs }) => sentAtMs >= fromMs && sentAtMs < untilMs);
  const created = asked.filter(isCreated);
  return {
    asked: asked.length,
    created: created.length,
    createP95Ms: latencyP95Ms(asked, systemClock.nowMs()),
    backlogRows,
    drainedMs,
    queueDepthMax,
  };
}

/** Until an outbox holds no more than what is on its way anyhow, and so do the queues. */
async function drain(stand: TestBed, backMs: number): Promise<{ drainedMs: number; queueDepthMax: number }> {
  const underWayMax = 20;
  let queueDepthMax = 0;
  for (;;) {
    const depths = Object.values(await readQueueDepths(stand));
    queueDepthMax = Math.max(queueDepthMax, ...depths);
    const drainedMs = systemClock.nowMs() - backMs;
    const waiting = depths.reduce((sum, depth) => sum + depth, await countOutboxRows(stand));
    if (waiting <= underWayMax || drainedMs > 2 * drainMsMax) return { drainedMs, queueDepthMax };
    await systemClock.sleep(pollMs);
  }
}

function judge({ asked, created, drainedMs, queueDepthMax }: Outage): string[] {
  return [
    ...(created === asked
      ? []
      : [`${asked - created} of ${asked} trips were not created while the broker was away`]),
    ...(drainedMs <= drainMsMax ? [] : [`the backlog was drained only after ${drainedMs} ms`]),
    ...(queueDepthMax < queueDepthBound ? [] : [`a queue held ${queueDepthMax} messages`]),
  ];
}

/** The summary for people. */
export function describeBrokerOutage(summary: BrokerOutageSummary): string {
  const { asked, created, createP95Ms, violations } = summary;
  return [
    `RabbitMQ stopped for ${summary.awaySeconds} s under load:`,
    `${created} of ${asked} trips created meanwhile (p95 ${createP95Ms} ms with their quotes)`,
    `${summary.backlogRows} events waited in the outboxes, drained ${summary.drainedMs} ms after the return; no queue held more than ${summary.queueDepthMax}`,
    `${summary.events} events heard, ${summary.completed} rides completed`,
    ...violations.map((violation) => `VIOLATION ${violation}`),
    violations.length === 0 ? 'nothing was violated' : `${violations.length} violations`,
  ].join('\n');
}
