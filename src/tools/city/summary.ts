import type { InvalidRow } from './demand-csv.ts';
import type { Violation } from './observations.ts';
import { type CityTally, percentile, sumCounts } from './tally.ts';

/** What a run came to; `--json` prints it as the last line. */
export interface CitySummary {
  /** Trips that the server acknowledged. */
  requested: number;
  assigned: number;
  completed: number;
  captured: number;
  cancelled: number;
  unfulfilled: number;
  /** From the request sent to the rider knowing of a driver; null when nobody was assigned. */
  assignMs: { p50: number | null; p95: number | null; p99: number | null };
  errors: Record<string, number>;
  /** Refusals that the city asked for. */
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
  /** Rows of a demand file that were left out, when there was a file. */
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
  const waits = tally.assignMs.values();
  const rounded = (share: number) => {
    const value = percentile(waits, share);
    return value === null ? null : Math.round(value * 10) / 10;
  };
  return {
    requested,
    assigned,
    completed,
    captured,
    cancelled,
    unfulfilled,
    assignMs: { p50: rounded(0.5), p95: rounded(0.95), p99: rounded(0.99) },
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

/** 0 when all went well, 1 when a promise was broken or an error came that nobody asked for. */
export const exitCodeOf = ({ violations, errors }: CitySummary): 0 | 1 =>
  violations.length > 0 || sumCounts(new Map(Object.entries(errors))) > 0 ? 1 : 0;

/** The summary for people. */
export function describeSummary(summary: CitySummary): string {
  const { requested, assigned, completed, captured, cancelled, unfulfilled, assignMs } = summary;
  const lines = [
    `${requested} requested · ${assigned} assigned · ${completed} completed · ${captured} captured · ${cancelled} cancelled · ${unfulfilled} unfulfilled`,
    `time to assign: p50 ${shown(assignMs.p50)}, p95 ${shown(assignMs.p95)}, p99 ${shown(assignMs.p99)}`,
    `${summary.drivers} drivers, ${summary.riders} riders, ${summary.notifications} notifications, ${summary.durationSeconds} s, seed ${summary.seed}`,
    ...counted('ended early', summary.reasons),
    ...counted('waited out', { retries: summary.retried, reconnects: summary.reconnects }),
    ...counted('provoked', summary.provoked),
    ...counted('ERRORS', summary.errors),
    ...summary.violations.slice(0, 20).map(describeViolation),
  ];
  if (summary.violations.length > 20) lines.push(`… ${summary.violations.length - 20} more violations`);
  if (exitCodeOf(summary) === 0) lines.push('every promise that a client can check was kept');
  return lines.join('\n');
}

const shown = (ms: number | null): string => (ms === null ? '–' : `${ms} ms`);

function counted(title: string, counts: Record<string, number>): string[] {
  const parts = Object.entries(counts).filter(([, times]) => times > 0);
  return parts.length === 0
    ? []
    : [`${title}: ${parts.map(([name, times]) => `${name} × ${times}`).join(', ')}`];
}

const describeViolation = ({ rule, tripId, detail }: Violation): string =>
  `VIOLATION ${rule}${tripId === null ? '' : ` of trip ${tripId}`}: ${detail}`;

/** The rows that were left out, by line; null when all were used. */
export function describeInvalidRows(wrong: readonly InvalidRow[], rows: number): string | null {
  if (wrong.length === 0) return null;
  const named = wrong.slice(0, 10).map(({ line, reason }) => `  line ${line} ${reason}`);
  const rest = wrong.length > named.length ? [`  … and ${wrong.length - named.length} more`] : [];
  return [`${wrong.length} of ${wrong.length + rows} rows are left out:`, ...named, ...rest].join('\n');
}
