import { describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bench } from './bench.ts';
import { readLatestReports, resultsDir, type SavedReport, saveReport, withTable } from './results.ts';
import { findBenches } from './run.ts';

const page = join(import.meta.dir, '../../docs/performance.md');

const report = (date: string, ratio: number): SavedReport => ({
  name: 'sample',
  commit: 'abc1234',
  date,
  cpus: 2,
  rounds: 7,
  seconds: 2,
  ratio,
  p95Ms: 12.345,
});

const sample: Bench = {
  name: 'sample',
  describes: 'a sample',
  figures: [
    { key: 'ratio', label: 'ours ÷ theirs', unit: 'ratio', goal: { min: 0.75 } },
    { key: 'p95Ms', label: 'p95', unit: 'ms', goal: { max: 50 } },
  ],
  run: async () => ({}),
};
const empty =
  'Before\n<!-- made by `bun run bench --table`; do not edit -->\n<!-- end of the table -->\nAfter\n';
const tableWith = (ratio: number) => {
  const reports = new Map([['sample', report('2026-12-01T01:00:00.000Z', ratio)]]);
  return withTable(empty, [sample], reports);
};

describe('the table of docs/performance.md', () => {
  test('is the one that the newest reports give', async () => {
    const text = await Bun.file(page).text();
    expect(withTable(text, await findBenches(), readLatestReports())).toBe(text);
  });

  test('shows each figure with its goal, and says which goals are missed', () => {
    expect(tableWith(0.8)).toContain('| ours ÷ theirs | 0.8 | ≥ 0.75 | 7 |');
    expect(tableWith(0.7)).toContain('| ours ÷ theirs | **0.7, missed** | ≥ 0.75 | 7 |');
    expect(tableWith(0.8)).toContain('| p95 | 12.3 ms | ≤ 50 ms |');
  });

  test('says so when a benchmark was never measured, and keeps the text around it', () => {
    const text = withTable(empty, [sample], new Map());
    expect(text).toContain('| sample | not measured |');
    expect(text).toStartWith('Before\n');
    expect(text).toEndWith('\nAfter\n');
  });

  test('a report without a figure that its benchmark shows is an error', () => {
    const { ratio: _, ...rest } = report('2026-12-01T01:00:00.000Z', 1);
    expect(() => withTable(empty, [sample], new Map([['sample', rest]]))).toThrow('no number ratio');
  });
});

test('of the saved reports of a benchmark the newest counts', () => {
  const dir = mkdtempSync(join(tmpdir(), 'results-'));
  try {
    saveReport(report('2026-12-01T02:00:00.000Z', 2), dir);
    saveReport(report('2026-12-01T01:00:00.000Z', 1), dir);
    expect(readLatestReports(dir).get('sample')?.ratio).toBe(2);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('every saved report belongs to a benchmark that exists', async () => {
  const names = new Set((await findBenches()).map(({ name }) => name));
  for (const name of readLatestReports(resultsDir).keys()) expect(names).toContain(name);
});
