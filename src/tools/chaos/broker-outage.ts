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
  /** Trips requested while the broker was unavailable, and those of them that were answered with 201. */
  asked: number;
  created: number;
  createP95Ms: number;
  /** Outbox rows at the end of the outage, and the time from the broker's return until they were published. */
  backlogRows: number;
  drainedMs: number;
  /** The longest queue from the broker's return until everything was drained. */
  queueDepthMax: number;
  events: number;
  completed: number;
  violations: string[];
}

// A short search timeout, so that the scenario does not wait long for trips that find no driver.
const settings = { SEARCH_TIMEOUT_SECONDS: '20', LIMIT_REALTIME_PER_MINUTE: '60000' };
const warmUpMs = 8_000;
const drainMsMax = 60_000;
const queueDepthBound = 5_000;
const pollMs = 200;
const drivingMs = 10_000;

/** Stops RabbitMQ under load and starts it again: trips must be created all the time, and no event may be lost. */
export async function runBrokerOutage(options: BrokerOutageOptions): Promise<BrokerOutageSummary> {
  const { report, signal } = options;
  const testBed = await startTestBed({ env: settings, signal, report });
  const stopping = new AbortController();
  try {
    const history = createClientHistory();
    const recorder = await startEventRecorder(testBed.server('rabbitmq').url);
    const city = createCity({
      url: testBed.url,
      seed: options.seed,
      drivers: options.drivers,
      trips: Number.POSITIVE_INFINITY,
      timeScale: 60,
      observer: history.callObserver,
    });
    const cityRun = city.run(stopping.signal);
    cityRun.catch(() => undefined);
    const probe = await startTripProbe(testBed.url, history.callObserver);
    while (city.progress().phase === 'enrolling') await systemClock.sleep(pollMs, signal);
    await systemClock.sleep(warmUpMs, signal);

    const outage = await stopBroker(testBed, probe, options);
    await systemClock.sleep(drivingMs, signal);
    await probe.stop();
    city.stop();
    const summary = await cityRun;
    const final = await checkFinalInvariants(testBed, history, recorder);
    const cityViolations = summary.violations.map(({ rule, detail }) => `city: ${rule}: ${detail}`);
    return {
      scenario: 'broker-away',
      awaySeconds: options.outageMs / 1_000,
      ...outage,
      events: final.events,
      completed: summary.completed,
      violations: [...checkOutage(outage), ...cityViolations, ...final.violations],
    };
  } finally {
    stopping.abort();
    await testBed.stop();
  }
}

type Outage = Pick<
  BrokerOutageSummary,
  'asked' | 'created' | 'createP95Ms' | 'backlogRows' | 'drainedMs' | 'queueDepthMax'
>;

async function stopBroker(
  testBed: TestBed,
  probe: TripProbe,
  { outageMs, report, signal }: BrokerOutageOptions,
): Promise<Outage> {
  const stoppedAtMs = systemClock.nowMs();
  await testBed.server('rabbitmq').kill('SIGTERM');
  report(`RabbitMQ stopped for ${outageMs / 1_000} s`);
  await systemClock.sleep(outageMs, signal);
  const backlogRows = await countOutboxRows(testBed);
  const restartedAtMs = systemClock.nowMs();
  await testBed.server('rabbitmq').restart();
  const returnedAtMs = systemClock.nowMs();
  report(`RabbitMQ is back; ${backlogRows} events wait in the outboxes`);
  const { drainedMs, queueDepthMax } = await waitUntilDrained(testBed, returnedAtMs);
  report(`drained after ${drainedMs} ms; no queue held more than ${queueDepthMax}`);
  const asked = probe.samples().filter(({ sentAtMs }) => sentAtMs >= stoppedAtMs && sentAtMs < restartedAtMs);
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

/** Waits until outboxes and queues together hold no more than is normally in flight. */
async function waitUntilDrained(
  testBed: TestBed,
  returnedAtMs: number,
): Promise<{ drainedMs: number; queueDepthMax: number }> {
  const inFlightMax = 20;
  let queueDepthMax = 0;
  for (;;) {
    const depths = Object.values(await readQueueDepths(testBed));
    queueDepthMax = Math.max(queueDepthMax, ...depths);
    const drainedMs = systemClock.nowMs() - returnedAtMs;
    const remaining = depths.reduce((sum, depth) => sum + depth, await countOutboxRows(testBed));
    if (remaining <= inFlightMax || drainedMs > 2 * drainMsMax) return { drainedMs, queueDepthMax };
    await systemClock.sleep(pollMs);
  }
}

function checkOutage({ asked, created, drainedMs, queueDepthMax }: Outage): string[] {
  return [
    ...(created === asked
      ? []
      : [`${asked - created} of ${asked} trips were not created while the broker was unavailable`]),
    ...(drainedMs <= drainMsMax ? [] : [`the backlog was drained only after ${drainedMs} ms`]),
    ...(queueDepthMax < queueDepthBound ? [] : [`a queue held ${queueDepthMax} messages`]),
  ];
}

/** The summary as text. */
export function describeBrokerOutage(summary: BrokerOutageSummary): string {
  const { asked, created, createP95Ms, violations } = summary;
  return [
    `RabbitMQ stopped for ${summary.awaySeconds} s under load:`,
    `${created} of ${asked} trips created meanwhile (p95 ${createP95Ms} ms with their quotes)`,
    `${summary.backlogRows} events waited in the outboxes, drained ${summary.drainedMs} ms after the return; no queue held more than ${summary.queueDepthMax}`,
    `${summary.events} events recorded, ${summary.completed} rides completed`,
    ...violations.map((violation) => `VIOLATION ${violation}`),
    violations.length === 0 ? 'no violations' : `${violations.length} violations`,
  ].join('\n');
}
