import type { ChaosCampaignSummary } from './campaign.ts';

/** The summary as text: the figures, then a Markdown table of the kinds. */
export function describeCampaign(summary: ChaosCampaignSummary): string {
  const { acknowledged, city, violations } = summary;
  const kinds = Object.entries(summary.kinds).sort(([a], [b]) => (a < b ? -1 : 1));
  const surfaced = Object.entries(summary.surfaced).map(([code, times]) => `${code} × ${times}`);
  return [
    `seed ${summary.seed}: ${summary.faults} faults of ${kinds.length} kinds in ${summary.rounds} rounds, ${summary.durationSeconds} s`,
    `recovered after ${summary.recoveryMsP50} ms (median), ${summary.recoveryMsMax} ms at most`,
    `a quote and a trip at p95: ${summary.baselineP95Ms} ms before the first fault, up to ${summary.normalP95Ms} ms counted as normal`,
    `${city.requested} trips requested, ${city.completed} completed, ${city.captured} captured, ${city.cancelled} cancelled, ${city.unfulfilled} unfulfilled; ${city.retried} attempts retried`,
    `acknowledged and found again: ${acknowledged.trips} trips in ${acknowledged.tripVersions} versions, ${acknowledged.quotes} quotes, ${acknowledged.receipts} receipts, ${acknowledged.people} people; ${summary.events} events recorded`,
    ...(surfaced.length === 0 ? [] : [`errors in spite of retries: ${surfaced.join(', ')}`]),
    '',
    '| fault | times |',
    '|---|---|',
    ...kinds.map(([kind, times]) => `| ${kind} | ${times} |`),
    '',
    ...violations.map((violation) => `VIOLATION ${violation}`),
    violations.length === 0 ? 'no violations' : `${violations.length} violations`,
  ].join('\n');
}
