import type { FuzzCase } from './case.ts';
import { findUnexpected, isShed, type UnexpectedAnswer } from './expectations.ts';
import type { WireExchange } from './wire.ts';

export interface FuzzTallyReport {
  kinds: Record<string, number>;
  statuses: Record<string, number>;
  /** Problems by code. */
  codes: Record<string, number>;
  /** 503 responses with Retry-After to clients other than slow senders. */
  shed: number;
  serverErrors: number;
  hangs: number;
  leaks: number;
  /** Unexpected responses, including the three above. */
  unexpected: number;
  /** One example of each kind of unexpected response, with its count. */
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

  function unexpected(fuzzCase: UnexpectedAnswer): void {
    total++;
    byKind[fuzzCase.kind] = (byKind[fuzzCase.kind] ?? 0) + 1;
    const sort = `${fuzzCase.kind} ${fuzzCase.case} ${fuzzCase.reason.slice(0, 60)}`;
    const existing = sorts.get(sort);
    if (existing !== undefined) existing.times++;
    else if (sorts.size < sortsMax) sorts.set(sort, { ...fuzzCase, times: 1 });
  }

  return {
    unexpected,
    record(fuzzCase: FuzzCase, exchange: WireExchange): void {
      kinds[fuzzCase.kind] = (kinds[fuzzCase.kind] ?? 0) + 1;
      for (const answer of exchange.answers) {
        statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
        if (isShed(answer) && fuzzCase.expects.like !== 'slow') shed++;
        const code = /"code":"([\w.]+)"/.exec(answer.body)?.[1];
        if (answer.status >= 400 && code !== undefined) codes[code] = (codes[code] ?? 0) + 1;
      }
      for (const found of findUnexpected(fuzzCase, exchange)) unexpected(found);
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
