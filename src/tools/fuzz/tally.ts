import type { FuzzCase } from './cases.ts';
import { findUnexpected, isShed, type UnexpectedAnswer } from './expectations.ts';
import type { WireExchange } from './wire.ts';

export interface FuzzTallyReport {
  kinds: Record<string, number>;
  statuses: Record<string, number>;
  /** Refusals by their code. */
  codes: Record<string, number>;
  /** Of all answers to those who were not slow themselves, 503 with Retry-After. */
  shed: number;
  serverErrors: number;
  hangs: number;
  leaks: number;
  /** What was not as it should be, those three included. */
  unexpected: number;
  /** The first of each sort of it, with how often it was seen. */
  sorts: (UnexpectedAnswer & { times: number })[];
}

export type FuzzTally = ReturnType<typeof createFuzzTally>;

const sortsMax = 40;

export function createFuzzTally() {
  const kinds: Record<string, number> = {};
  const statuses: Record<string, number> = {};
  const codes: Record<string, number> = {};
  const byKind: Partial<Record<UnexpectedAnswer['kind'], number>> = {};
  const sorts = new Map<string, UnexpectedAnswer & { times: number }>();
  let shed = 0;
  let total = 0;

  function unexpected(one: UnexpectedAnswer): void {
    total++;
    byKind[one.kind] = (byKind[one.kind] ?? 0) + 1;
    const sort = `${one.kind} ${one.case} ${one.reason.slice(0, 60)}`;
    const known = sorts.get(sort);
    if (known !== undefined) known.times++;
    else if (sorts.size < sortsMax) sorts.set(sort, { ...one, times: 1 });
  }

  return {
    unexpected,
    note(one: FuzzCase, exchange: WireExchange): void {
      kinds[one.kind] = (kinds[one.kind] ?? 0) + 1;
      for (const answer of exchange.answers) {
        statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
        if (isShed(answer) && one.expects.like !== 'slow') shed++;
        const code = /"code":"([\w.]+)"/.exec(answer.body)?.[1];
        if (answer.status >= 400 && code !== undefined) codes[code] = (codes[code] ?? 0) + 1;
      }
      for (const found of findUnexpected(one, exchange)) unexpected(found);
    },
    report: (): FuzzTallyReport => ({
      kinds,
      statuses,
      codes,
      shed,
      serverErrors: byKind.server_error ?? 0,
      hangs: byKind.hang ?? 0,
      leaks: byKind.leak ?? 0,
      unexpected: total,
      sorts: [...sorts.values()],
    }),
  };
}
