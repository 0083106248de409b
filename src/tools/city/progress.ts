import type { Clock } from '@platform/clock.ts';
import type { CityProgress } from './index.ts';
import { percentile, sumCounts } from './tally.ts';

export interface ProgressOptions {
  progress: () => CityProgress;
  clock: Clock;
  write: (text: string) => void;
  /** A terminal gets one line that changes, anything else a new line now and then. */
  isTerminal: boolean;
}

const terminalEveryMs = 500;
const linesEveryMs = 10_000;

/** Tells how the city is doing until `until` aborts. */
export async function showProgress(
  { progress, clock, write, isTerminal }: ProgressOptions,
  until: AbortSignal,
): Promise<void> {
  const everyMs = isTerminal ? terminalEveryMs : linesEveryMs;
  while (!until.aborted) {
    await clock.sleep(everyMs, until);
    if (until.aborted) break;
    const line = describeProgress(progress());
    write(isTerminal ? `\r\u001b[2K${line}` : `${line}\n`);
  }
  if (isTerminal) write('\r\u001b[2K');
}

export function describeProgress(now: CityProgress): string {
  const { tally, drivers, enrolled } = now;
  if (now.phase === 'enrolling') {
    const waits = tally.retried > 0 ? ` (waited out: ${tally.retried})` : '';
    return `opening accounts: ${enrolled.done} of ${enrolled.wanted}${waits}`;
  }
  const p95 = percentile(tally.assignMs.values(), 0.95);
  const parts = [
    `${tally.requested}${Number.isFinite(now.tripsWanted) ? ` of ${now.tripsWanted}` : ''} requested`,
    `${now.ridesInFlight} under way`,
    `${tally.completed} completed`,
    `${tally.captured} captured`,
    `${tally.cancelled} cancelled`,
    `${tally.unfulfilled} unfulfilled`,
    `drivers ${drivers.on_trip} busy ${drivers.idle} idle ${drivers.dark} dark`,
    `assign p95 ${p95 === null ? '–' : `${Math.round(p95)} ms`}`,
  ];
  const errors = sumCounts(tally.errors);
  if (tally.retried > 0) parts.push(`${tally.retried} retried`);
  if (errors > 0) parts.push(`${errors} ERRORS`);
  if (now.violations > 0) parts.push(`${now.violations} VIOLATIONS`);
  return `${now.phase}: ${parts.join(' · ')}`;
}
