import type { InvalidRow } from './demand-csv.ts';
import type { Violation } from './observations.ts';
import { type CityTally, percentile, sumCounts } from './tally.ts';

/** The result of a run; `--json` prints it as the last line. */
export interface CitySummary {
  /** Trips that the server created. */
  requested: number;
  assigned: number;
  completed: number;
  captured: number;
  cancelled: number;
  unfulfilled: number;
  /** From sending the request until the rider sees the assignment; null without assignments. */
  assignMs: { p50: number | null; p95: number | null; p99: number | null };
  errors: Record<string, number>;
  /** Rejections that the city provoked on purpose. */
  provoked: Record<string, number>;
  notifications: number;
  violations: readonly Violation[];
  reasons: Record<string, number>;
  retried: number;
  reconnects: number;
  drivers: number;
  riders: number;
  seed: number;
  durationSeconds: number;
  /** Skipped rows of the demand file, if there is one. */
  rowsWrong?: number;
}

export interface SummaryInput {
  tally: CityTally;
  violations: readonly Violation[];
  drivers: number;
  riders: number;
  seed: number;
  durationSeconds: number;
}

export function summarise({ tally, violations, ...facts }: SummaryInput): CitySummary {
  const { requested, assigned, completed, captured, cancelled, unfulfilled } = tally;
  const assignTimesMs = tally.assignMs.values();
  const roundedPercentile = (share: number) => {
    const value = percentile(assignTimesMs, share);
    return value === null ? null : Math.round(value * 10) / 10;
  };
  return {
    requested,
    assigned,
    completed,
    captured,
    cancelled,
    unfulfilled,
    assignMs: { p50: roundedPercentile(0.5), p95: roundedPercentile(0.95), p99: roundedPercentile(0.99) },
    errors: Object.fromEntries(tally.errors),
    provoked: Object.fromEntries(tally.provoked),
    notifications: tally.notifications,
    violations,
    reasons: Object.fromEntries(tally.reasons),
    retried: tally.retried,
    reconnects: tally.reconnects,
    ...facts,
    durationSeconds: Math.round(facts.durationSeconds * 10) / 10,
  };
}

/** 0 on success, 1 after a violation or an unprovoked error. */
export const exitCodeOf = ({ violations, errors }: CitySummary): 0 | 1 =>
  violations.length > 0 || sumCounts(new Map(Object.entries(errors))) > 0 ? 1 : 0;

/** The summary as readable text. */
export function describeSummary(summary: CitySummary): string {
  const { requested, assigned, completed, captured, cancelled, unfulfilled, assignMs } = summary;
  const lines = [
    `${requested} requested · ${assigned} assigned · ${completed} completed · ${captured} captured · ${cancelled} cancelled · ${unfulfilled} unfulfilled`,
    `time to assign: p50 ${formatMs(assignMs.p50)}, p95 ${formatMs(assignMs.p95)}, p99 ${formatMs(assignMs.p99)}`,
    `${summary.drivers} drivers, ${summary.riders} riders, ${summary.notifications} notifications, ${summary.durationSeconds} s, seed ${summary.seed}`,
    ...describeCounts('ended early', summary.reasons),
    ...describeCounts('recovered', { retries: summary.retried, reconnects: summary.reconnects }),
    ...describeCounts('provoked', summary.provoked),
    ...describeCounts('ERRORS', summary.errors),
    ...summary.violations.slice(0, 20).map(describeViolation),
  ];
  if (summary.violations.length > 20) lines.push(`… ${summary.violations.length - 20} more violations`);
  if (exitCodeOf(summary) === 0) lines.push('no violations');
  return lines.join('\n');
}

const formatMs = (ms: number | null): string => (ms === null ? '–' : `${ms} ms`);

function describeCounts(title: string, counts: Record<string, number>): string[] {
  const parts = Object.entries(counts).filter(([, times]) => times > 0);
  return parts.length === 0
    ? []
    : [`${title}: ${parts.map(([name, times]) => `${name} × ${times}`).join(', ')}`];
}

const describeViolation = ({ rule, tripId, detail }: Violation): string =>
  `VIOLATION ${rule}${tripId === null ? '' : ` of trip ${tripId}`}: ${detail}`;

/** Describes the skipped rows by line; null if all rows were used. */
export function describeInvalidRows(invalid: readonly InvalidRow[], rows: number): string | null {
  if (invalid.length === 0) return null;
  const named = invalid.slice(0, 10).map(({ line, reason }) => `  line ${line} ${reason}`);
  const more = invalid.length > named.length ? [`  … and ${invalid.length - named.length} more`] : [];
  return [`${invalid.length} of ${invalid.length + rows} rows are skipped:`, ...named, ...more].join('\n');
}
