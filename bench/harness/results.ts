import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench, Figure } from './bench.ts';
import type { Report } from './run.ts';

/** The reports of earlier runs, one JSON file each: `<date>-<bench>-<commit>.json`. */
export const resultsDir = join(import.meta.dir, '../results');

/** A report as it is kept, with the command that made it. */
export type SavedReport = Report & { seconds: number };

/** Writes the report into a file of its own and returns the path. */
export function saveReport(report: SavedReport, dir = resultsDir): string {
  mkdirSync(dir, { recursive: true });
  const path = join(
    dir,
    `${report.date.slice(0, 19).replaceAll(':', '')}-${report.name}-${report.commit}.json`,
  );
  writeFileSync(path, `${JSON.stringify(report, undefined, 2)}\n`);
  return path;
}

/** The newest report of each bench, by name. */
export function readLatestReports(dir = resultsDir): Map<string, SavedReport> {
  const reports = readdirSync(dir)
    .filter((file) => file.endsWith('.json'))
    .map((file): SavedReport => JSON.parse(readFileSync(join(dir, file), 'utf8')))
    .sort((a, b) => (a.date < b.date ? -1 : 1));
  return new Map(reports.map((report) => [report.name, report]));
}

const beginMark = '<!-- made by `bun run bench --table`; do not edit -->';
const endMark = '<!-- end of the table -->';

/** The page with its table made anew from the newest reports. */
export function withTable(
  page: string,
  benches: readonly Bench[],
  reports: ReadonlyMap<string, SavedReport>,
): string {
  const [before, rest] = page.split(beginMark);
  const after = rest?.split(endMark)[1];
  if (before === undefined || after === undefined)
    throw new Error(`the page has no ${beginMark} … ${endMark}`);
  return `${before}${beginMark}\n\n${tableOf(benches, reports)}\n${endMark}${after}`;
}

const head = ['| what | today | goal | rounds | command, date, commit |', '|---|---|---|---|---|'];

function tableOf(benches: readonly Bench[], reports: ReadonlyMap<string, SavedReport>): string {
  const rows = benches.flatMap((bench) => {
    const report = reports.get(bench.name);
    if (report === undefined)
      return [`| ${bench.name} | not measured | | | \`bun run bench ${bench.name}\` |`];
    return bench.figures.map((figure, index) => rowOf(figure, report, index === 0));
  });
  return `${[...head, ...rows].join('\n')}\n`;
}

function rowOf(figure: Figure, report: SavedReport, isFirst: boolean): string {
  const value = report[figure.key];
  if (typeof value !== 'number') throw new Error(`the report of ${report.name} has no number ${figure.key}`);
  const source = isFirst
    ? `\`bun run bench ${report.name} --rounds ${report.rounds} --seconds ${report.seconds}\`, ${report.date.slice(0, 10)}, ${report.commit}`
    : '';
  const today = isMet(figure, value)
    ? formatted(value, figure.unit)
    : `**${formatted(value, figure.unit)}, missed**`;
  return `| ${figure.label} | ${today} | ${goalOf(figure)} | ${isFirst ? report.rounds : ''} | ${source} |`;
}

function isMet({ goal }: Figure, value: number): boolean {
  if (goal === undefined) return true;
  return 'min' in goal ? value >= goal.min : value <= goal.max;
}

function goalOf({ goal, unit }: Figure): string {
  if (goal === undefined) return '';
  return 'min' in goal ? `≥ ${formatted(goal.min, unit)}` : `≤ ${formatted(goal.max, unit)}`;
}

function formatted(value: number, unit: Figure['unit']): string {
  switch (unit) {
    case 'share':
      return `${Number((value * 100).toFixed(1))}%`;
    case 'ratio':
      return String(Number(value.toPrecision(3)));
    case 'count':
      return Math.round(value).toLocaleString('en-US');
    case '/s':
      return `${Math.round(value).toLocaleString('en-US')}/s`;
    case 'bytes':
      return `${Math.round(value).toLocaleString('en-US')} bytes`;
    case 'ms':
    case 's':
    case 'µs':
    case 'ns':
      return `${Number(value.toPrecision(3))} ${unit}`;
  }
}
