import type { Clock } from '@platform/clock.ts';
import type { CityProgress } from './index.ts';
import { percentile, sumCounts } from './tally.ts';

export interface ProgressOptions {
  progress: () => CityProgress;
  clock: Clock;
  write: (text: string) => void;
  /** A terminal gets one line that is updated, other outputs get a new line every 10 s. */
  isTerminal: boolean;
}

const terminalIntervalMs = 500;
const lineIntervalMs = 10_000;

/** Shows the progress of the city until `until` aborts. */
export async function showProgress(
  { progress, clock, write, isTerminal }: ProgressOptions,
  until: AbortSignal,
): Promise<void> {
  const intervalMs = isTerminal ? terminalIntervalMs : lineIntervalMs;
  while (!until.aborted) {
    await clock.sleep(intervalMs, until);
    if (until.aborted) break;
    const line = describeProgress(progress());
    write(isTerminal ? `\r\u001b[2K${line}` : `${line}\n`);
  }
  if (isTerminal) write('\r\u001b[2K');
}

export function describeProgress(progress: CityProgress): string {
  const { tally, drivers, enrolled } = progress;
  if (progress.phase === 'enrolling') {
    const retries = tally.retried > 0 ? ` (${tally.retried} retries)` : '';
    return `creating accounts: ${enrolled.done} of ${enrolled.wanted}${retries}`;
  }
  const p95 = percentile(tally.assignMs.values(), 0.95);
  const parts = [
    `${tally.requested}${Number.isFinite(progress.tripsWanted) ? ` of ${progress.tripsWanted}` : ''} requested`,
    `${progress.ridesInFlight} active`,
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
  if (progress.violations > 0) parts.push(`${progress.violations} VIOLATIONS`);
  return `${progress.phase}: ${parts.join(' · ')}`;
}
