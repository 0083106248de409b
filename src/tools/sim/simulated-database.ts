import { createPrimaryReads, type Database, type Sql } from '@platform/postgres/database.ts';
import type { FaultPlan } from './faults.ts';
import type { Scheduler, Scope } from './scheduler.ts';

/** How an instance comes to harm, as the parts see it that notice the right moment. */
export interface InstanceFaults {
  /** The instance is gone; whatever it waits for never comes. */
  crash(scope: Scope): void;
  /** It stops, and goes on much later. */
  pause(scope: Scope): void;
}

export interface SimulatedDatabaseOptions {
  /** The real one: all instances share it, one statement at a time. */
  real: Database;
  scope: Scope;
  scheduler: Scheduler;
  /** None: the statements only take their time. */
  plan?: FaultPlan | undefined;
  instanceFaults: InstanceFaults;
  /** Changes a piece of SQL text: how the tests plant a bug without touching the product. */
  rewrite?: ((text: string) => string) | undefined;
}

/** The part of a postgres.js query that the simulation takes over. */
interface Query {
  strings: readonly string[];
  statement: { string: string } | null;
  handler: (query: Query) => void;
  resolve: (rows: unknown) => void;
  reject: (error: unknown) => void;
}

/**
 * The real SQL on a real server, with a wire that can break: each statement is sent by an event of its
 * own and answered by another, and in between the instance may die, stop, or never hear what became of
 * it. Rows that come in no promised order come in one that depends on nothing but themselves.
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

// A template's strings are one object for each place in the code, and postgres.js keeps every one it saw.
type Rewritten = WeakMap<TemplateStringsArray, TemplateStringsArray>;

function simulateSql(real: Sql, options: SimulatedDatabaseOptions): Sql {
  const rewritten: Rewritten = new WeakMap();
  return new Proxy(real, {
    apply(target, self, [first, ...rest]: [TemplateStringsArray, ...unknown[]]) {
      if (!Array.isArray(first?.raw)) return Reflect.apply(target, self, [first, ...rest]);
      const query: Query = Reflect.apply(target, self, [rewriteOnce(first, rewritten, options), ...rest]);
      const send = query.handler;
      query.handler = (one) => transmit(one, send, options);
      return query;
    },
  });
}

function rewriteOnce(
  strings: TemplateStringsArray,
  rewritten: Rewritten,
  { rewrite }: SimulatedDatabaseOptions,
): TemplateStringsArray {
  if (rewrite === undefined) return strings;
  const known = rewritten.get(strings);
  if (known !== undefined) return known;
  const texts = strings.map(rewrite);
  const changed = Object.assign(texts, { raw: texts });
  rewritten.set(strings, changed);
  return changed;
}

function transmit(query: Query, send: Query['handler'], options: SimulatedDatabaseOptions): void {
  const { scope, scheduler, plan, instanceFaults } = options;
  const { resolve, reject } = query;
  const what = describe(query);
  const where = `${scope.name}: ${what}`;
  const isWrite = /\b(insert|update|delete)\b/.test(what);
  const slow = plan?.draw('sql.slow', where);
  const delayMs = slow === undefined ? scheduler.randomBetween(0.2, 3) : 500 + slow.next() * 4_000;

  scheduler.schedule(delayMs, scope, async () => {
    if (isWrite && plan?.draw('crash.before_commit', where)) return instanceFaults.crash(scope);
    if (isWrite && plan?.draw('pause.before_commit', where)) {
      instanceFaults.pause(scope);
      scheduler.schedule(0, scope, deliver);
      return;
    }
    if (plan?.draw('sql.not_sent', where)) return reject(connectionLost());
    await deliver();
  });

  async function deliver(): Promise<void> {
    const outcome = await perform(query, send);
    scheduler.recordTrace(`${where} → ${outcome.said}`);
    if (isWrite && plan?.draw('crash.after_commit', where)) return instanceFaults.crash(scope);
    if (isWrite && plan?.draw('pause.after_commit', where)) instanceFaults.pause(scope);
    const isLost = plan?.draw('sql.reply_lost', where) !== undefined;
    scheduler.schedule(scheduler.randomBetween(0.1, 1), scope, () => {
      if (isLost) reject(connectionLost());
      else if (outcome.kind === 'rows') resolve(outcome.rows);
      else reject(outcome.error);
    });
  }
}

type Performed = { said: string } & ({ kind: 'rows'; rows: unknown } | { kind: 'error'; error: unknown });

function perform(query: Query, send: Query['handler']): Promise<Performed> {
  return new Promise((done) => {
    query.resolve = (rows) => {
      const text = query.statement?.string ?? '';
      if (Array.isArray(rows) && rows.length > 1 && !isOrdered(text))
        rows.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
      done({ kind: 'rows', rows, said: `${Array.isArray(rows) ? rows.length : 0} rows` });
    };
    query.reject = (error) => done({ kind: 'error', error, said: `error ${codeOf(error)}` });
    send(query);
  });
}

/** Whether the outermost level says in which order the rows come. */
const isOrdered = (text: string): boolean => /order by[^)]*$/.test(text);

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? `${String(error.code)} ${error.message}` : String(error);

/** What postgres.js says of a connection that broke under a statement. */
const connectionLost = (): Error =>
  Object.assign(new Error('write CONNECTION_CLOSED (simulated)'), { code: 'CONNECTION_CLOSED' });

const labelLengthMax = 70;

/** `update trips, insert into trip_history`: what a statement does, for the trace. */
function describe({ strings }: Query): string {
  const text = strings.join('?').replaceAll(/\s+/g, ' ').trim();
  const writes = [...text.matchAll(/\b(insert into|update|delete from) \w+/g)].map(([all]) => all);
  return (writes.length > 0 ? writes.join(', ') : text).slice(0, labelLengthMax);
}
