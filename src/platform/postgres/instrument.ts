import type postgres from 'postgres';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Sql } from './sql.ts';

export interface InstrumentOptions {
  context: string;
  server: 'primary' | 'replica';
  /** Statements that take at least this long are logged. */
  slowMs: number;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

const statementCharactersMax = 600;

/**
 * Wraps `sql` so that each statement is measured as its caller experiences it, including the wait for a connection:
 * `sql_duration_ms{context, server}`, and a log line for a slow one. Parameters are never logged, since they are
 * personal data. Measuring starts when a statement is awaited, since that is when postgres.js sends it; fragments
 * are never awaited. It costs about a microsecond per statement.
 */
export function instrumentSql(sql: Sql, options: InstrumentOptions): Sql {
  const { context, server, slowMs, clock, log, metrics } = options;
  const labels = { context, server };

  function recordEnd(startedMs: number, text: () => string, outcome: 'done' | 'failed'): void {
    const durationMs = clock.nowMs() - startedMs;
    metrics.observe('sql_duration_ms', durationMs, labels);
    if (durationMs < slowMs) return;
    metrics.count('sql_slow_total', labels);
    log.warn({ context, server, durationMs, outcome, statement: brief(text()) }, 'slow statement');
  }

  function measure<Q extends Thenable>(query: Q, strings: readonly string[]): Q {
    const then = query.then.bind(query);
    let isStarted = false;
    const measuredThen: typeof then = (fulfilled, rejected) => {
      if (!isStarted) {
        isStarted = true;
        const startedMs = clock.nowMs();
        then(
          (result) => recordEnd(startedMs, () => textOf(result) ?? strings.join('…'), 'done'),
          () => recordEnd(startedMs, () => strings.join('…'), 'failed'),
        );
      }
      return then(fulfilled, rejected);
    };
    return Object.defineProperty(query, 'then', { value: measuredThen });
  }

  return new Proxy(sql, {
    apply(target, self, args: unknown[]) {
      const query: unknown = Reflect.apply(target, self, args);
      const [strings] = args;
      return isTemplate(strings) && isThenable(query) ? measure(query, strings) : query;
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

/** The statement as it was sent to the server, with `$1` and so on for the parameters. */
const textOf = (result: unknown): string | undefined =>
  typeof result === 'object' && result !== null && 'statement' in result
    ? (result.statement as { string?: string } | null)?.string
    : undefined;

const brief = (text: string) => text.replace(/\s+/g, ' ').trim().slice(0, statementCharactersMax);
