import type postgres from 'postgres';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Sql } from './database.ts';

export interface InstrumentOptions {
  context: string;
  server: 'primary' | 'replica';
  /** Statements that take this long are logged. */
  slowMs: number;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

const statementCharactersMax = 600;

/**
 * `sql` with each statement measured as its caller feels it, the wait for a connection included:
 * `sql_duration_ms{context, server}`, and a line in the log for a slow one. Parameters are never
 * logged, for they are people's data. A statement is noticed when somebody awaits it, since that is
 * when postgres.js sends it; a fragment never is. Costs about a microsecond a statement.
 */
export function instrumentSql(sql: Sql, options: InstrumentOptions): Sql {
  const { context, server, slowMs, clock, log, metrics } = options;
  const labels = { context, server };

  function ended(startedMs: number, text: () => string, outcome: 'done' | 'failed'): void {
    const durationMs = clock.nowMs() - startedMs;
    metrics.observe('sql_duration_ms', durationMs, labels);
    if (durationMs < slowMs) return;
    metrics.count('sql_slow_total', labels);
    log.warn({ context, server, durationMs, outcome, statement: brief(text()) }, 'slow statement');
  }

  function watch<Q extends Thenable>(query: Q, strings: readonly string[]): Q {
    const then = query.then.bind(query);
    let isWatched = false;
    const watched: typeof then = (fulfilled, rejected) => {
      if (!isWatched) {
        isWatched = true;
        const startedMs = clock.nowMs();
        then(
          (result) => ended(startedMs, () => textOf(result) ?? strings.join('…'), 'done'),
          () => ended(startedMs, () => strings.join('…'), 'failed'),
        );
      }
      return then(fulfilled, rejected);
    };
    return Object.defineProperty(query, 'then', { value: watched });
  }

  return new Proxy(sql, {
    apply(target, self, args: unknown[]) {
      const made: unknown = Reflect.apply(target, self, args);
      const [strings] = args;
      return isTemplate(strings) && isThenable(made) ? watch(made, strings) : made;
    },
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name !== 'reserve') return value;
      return async () => {
        const reserved = await target.reserve();
        return observeReserved(reserved, options);
      };
    },
  });
}

const observeReserved = (sql: postgres.ReservedSql, options: InstrumentOptions) =>
  instrumentSql(sql, options) as postgres.ReservedSql;

interface Thenable {
  then(fulfilled?: (value: unknown) => unknown, rejected?: (error: unknown) => unknown): Promise<unknown>;
}

const isThenable = (value: unknown): value is Thenable =>
  value instanceof Promise && 'strings' in value && 'args' in value;

const isTemplate = (value: unknown): value is TemplateStringsArray => Array.isArray(value) && 'raw' in value;

/** The statement as the server got it, with `$1` for each parameter. */
const textOf = (result: unknown): string | undefined =>
  typeof result === 'object' && result !== null && 'statement' in result
    ? (result.statement as { string?: string } | null)?.string
    : undefined;

const brief = (text: string) => text.replace(/\s+/g, ' ').trim().slice(0, statementCharactersMax);
