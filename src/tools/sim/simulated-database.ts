import { createPrimaryReads, type Database, type Sql } from '@platform/postgres/database.ts';
import type { FaultPlan } from './faults.ts';
import type { Scheduler, Scope } from './scheduler.ts';

/** Faults of whole instances, injected by the parts that know the right moment. */
export interface InstanceFaults {
  /** The instance dies; label it waits for never arrives. */
  crash(scope: Scope): void;
  /** The instance stops and continues much later. */
  pause(scope: Scope): void;
}

export interface SimulatedDatabaseOptions {
  /** The real database. All instances share it, one statement at a time. */
  real: Database;
  scope: Scope;
  scheduler: Scheduler;
  /** Without a plan the statements only take time. */
  plan?: FaultPlan | undefined;
  instanceFaults: InstanceFaults;
  /** Changes a piece of SQL text. Tests plant bugs with it, so that the product needs no switch for them. */
  rewrite?: ((text: string) => string) | undefined;
}

/** The part of a postgres.js query that the simulation replaces. */
interface Query {
  strings: readonly string[];
  statement: { string: string } | null;
  handler: (query: Query) => void;
  resolve: (rows: unknown) => void;
  reject: (error: unknown) => void;
}

/**
 * Runs the real SQL on a real server over a simulated network. Each statement is sent in one step of the
 * scheduler and answered in another. In between the instance may crash or pause, and the answer may be lost.
 * Rows without an `order by` are sorted by their content, so that their order is the same in every run.
 */
export function simulateDatabase(options: SimulatedDatabaseOptions): Database {
  const { real } = options;
  const sql = simulateSql(real.primary, options);
  return {
    schema: real.schema,
    primary: sql,
    ...createPrimaryReads(sql),
    async ping() {
      await sql`select 1`;
    },
    close: async () => undefined,
  };
}

// The strings of a template are one object for each place in the code, and postgres.js caches every one.
type RewrittenCache = WeakMap<TemplateStringsArray, TemplateStringsArray>;

function simulateSql(real: Sql, options: SimulatedDatabaseOptions): Sql {
  const rewrittenCache: RewrittenCache = new WeakMap();
  return new Proxy(real, {
    apply(target, self, [first, ...rest]: [TemplateStringsArray, ...unknown[]]) {
      if (!Array.isArray(first?.raw)) return Reflect.apply(target, self, [first, ...rest]);
      const query: Query = Reflect.apply(target, self, [
        rewriteCached(first, rewrittenCache, options),
        ...rest,
      ]);
      const send = query.handler;
      query.handler = (sent) => transmit(sent, send, options);
      return query;
    },
  });
}

function rewriteCached(
  strings: TemplateStringsArray,
  rewrittenCache: RewrittenCache,
  { rewrite }: SimulatedDatabaseOptions,
): TemplateStringsArray {
  if (rewrite === undefined) return strings;
  const known = rewrittenCache.get(strings);
  if (known !== undefined) return known;
  const texts = strings.map(rewrite);
  const changed = Object.assign(texts, { raw: texts });
  rewrittenCache.set(strings, changed);
  return changed;
}

function transmit(query: Query, send: Query['handler'], options: SimulatedDatabaseOptions): void {
  const { scope, scheduler, plan, instanceFaults } = options;
  const { resolve, reject } = query;
  const label = describeStatement(query);
  const location = `${scope.name}: ${label}`;
  const isWrite = /\b(insert|update|delete)\b/.test(label);
  const slow = plan?.draw('sql.slow', location);
  const delayMs = slow === undefined ? scheduler.randomBetween(0.2, 3) : 500 + slow.next() * 4_000;

  scheduler.schedule(delayMs, scope, async () => {
    if (isWrite && plan?.draw('crash.before_commit', location)) return instanceFaults.crash(scope);
    if (isWrite && plan?.draw('pause.before_commit', location)) {
      instanceFaults.pause(scope);
      scheduler.schedule(0, scope, deliver);
      return;
    }
    if (plan?.draw('sql.not_sent', location)) return reject(createConnectionLostError());
    await deliver();
  });

  async function deliver(): Promise<void> {
    const outcome = await execute(query, send);
    scheduler.recordTrace(`${location} → ${outcome.summary}`);
    if (isWrite && plan?.draw('crash.after_commit', location)) return instanceFaults.crash(scope);
    if (isWrite && plan?.draw('pause.after_commit', location)) instanceFaults.pause(scope);
    const isLost = plan?.draw('sql.reply_lost', location) !== undefined;
    scheduler.schedule(scheduler.randomBetween(0.1, 1), scope, () => {
      if (isLost) reject(createConnectionLostError());
      else if (outcome.kind === 'rows') resolve(outcome.rows);
      else reject(outcome.error);
    });
  }
}

type StatementOutcome = { summary: string } & (
  | { kind: 'rows'; rows: unknown }
  | { kind: 'error'; error: unknown }
);

function execute(query: Query, send: Query['handler']): Promise<StatementOutcome> {
  return new Promise((done) => {
    query.resolve = (rows) => {
      const text = query.statement?.string ?? '';
      if (Array.isArray(rows) && rows.length > 1 && !isOrdered(text))
        rows.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
      done({ kind: 'rows', rows, summary: `${Array.isArray(rows) ? rows.length : 0} rows` });
    };
    query.reject = (error) => done({ kind: 'error', error, summary: `error ${codeOf(error)}` });
    send(query);
  });
}

/** Whether the outermost level of the statement orders its rows. */
const isOrdered = (text: string): boolean => /order by[^)]*$/.test(text);

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? `${String(error.code)} ${error.message}` : String(error);

/** The error of postgres.js for a connection that was lost during a statement. */
const createConnectionLostError = (): Error =>
  Object.assign(new Error('write CONNECTION_CLOSED (simulated)'), { code: 'CONNECTION_CLOSED' });

const labelLengthMax = 70;

/** A label for the trace, such as `update trips, insert into trip_history`. */
function describeStatement({ strings }: Query): string {
  const text = strings.join('?').replaceAll(/\s+/g, ' ').trim();
  const writes = [...text.matchAll(/\b(insert into|update|delete from) \w+/g)].map(([all]) => all);
  return (writes.length > 0 ? writes.join(', ') : text).slice(0, labelLengthMax);
}
