import { createGuard } from '@platform/auth/guard.ts';
import { createRevocations } from '@platform/auth/revocations.ts';
import { createVerifier, type Verifier } from '@platform/auth/verifier.ts';
import type { Bus } from '@platform/bus/bus.ts';
import { createMemoryBus } from '@platform/bus/memory.ts';
import { createManualClock, type ManualClock } from '@platform/clock.ts';
import { loadConfig } from '@platform/config.ts';
import { createIds } from '@platform/ids.ts';
import type { Log } from '@platform/log.ts';
import { createMetrics, type Metrics } from '@platform/metrics.ts';
import { createDatabase, type Database } from '@platform/postgres/database.ts';
import { systemRandom } from '@platform/random.ts';
import type { Static, TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { createTestHttpApp } from '@testing/http-app.ts';
import { createTestDatabase } from '@testing/postgres.ts';
import { testServiceGuard } from '@testing/service-auth.ts';
import { createUserContext, type UserContext } from '../context.ts';
import { type UserSettings, userSettings } from '../settings.ts';

export interface TestUserInstance {
  context: UserContext;
  database: Database;
  verifier: Verifier;
  metrics: Metrics;
  /** Sends `body` as JSON, or unchanged if it is a string, and reads the response. */
  send(method: string, path: string, options?: TestUserRequestOptions): Promise<TestUserResponse>;
}

export interface TestUserRequestOptions {
  body?: unknown;
  token?: string;
  headers?: Record<string, string>;
}

export interface TestUserResponse {
  status: number;
  headers: Headers;
  text: string;
  /** The parsed body. Undefined if the body is empty. */
  json: unknown;
}

export interface TestUserInstanceOptions {
  settings?: Record<string, string>;
}

export interface TestUser {
  clock: ManualClock;
  bus: Bus;
  databaseUrl: string;
  /** All log lines of all instances. */
  logLines: string[];
  /** Creates another instance of the user service on the same database. Call `context.prepare()` on it. */
  createInstance(options?: TestUserInstanceOptions): TestUserInstance;
  close(): Promise<void>;
}

const startMs = Date.UTC(2026, 10, 22, 8);

/** A separate database, and as many instances of the user context on it as the test creates. */
export async function createTestUser(): Promise<TestUser> {
  const clock = createManualClock(startMs);
  const testDatabase = await createTestDatabase();
  const databases: Database[] = [];
  const logLines: string[] = [];
  const log = createRecordingLog(logLines);
  const bus = createMemoryBus({ clock, random: systemRandom, log });

  function createInstance({ settings = {} }: TestUserInstanceOptions = {}): TestUserInstance {
    const config: UserSettings = loadConfig(userSettings, {
      SIGNING_KEY_SECRET: 'k'.repeat(32),
      ...settings,
    });
    const database = createDatabase({
      url: testDatabase.url,
      schema: 'user',
      poolMax: 4,
      statementTimeoutMs: 5_000,
      log,
    });
    databases.push(database);
    const metrics = createMetrics();
    const ids = createIds(clock, systemRandom);
    const verifier = createVerifier({
      clock,
      fetchKeySet: () => context.keys(),
      revocations: createRevocations({ source: (after) => context.revocations(after), clock, log, metrics }),
      issuer: config.TOKEN_ISSUER,
      audience: config.TOKEN_AUDIENCE,
    });
    const context: UserContext = createUserContext({
      database,
      bus,
      clock,
      random: systemRandom,
      ids,
      log,
      metrics,
      guard: createGuard(verifier),
      serviceGuard: testServiceGuard('user', clock),
      settings: config,
    });
    const app = createTestHttpApp({
      service: 'user',
      clock,
      ids,
      log,
      metrics,
      readinessChecks: context.readinessChecks,
      accessLog: true,
    })
      .use(context.routes)
      .use(context.internalRoutes);
    const send = (method: string, path: string, options: TestUserRequestOptions = {}) =>
      readResponse(app.handle(createRequest(method, path, options)));
    return { context, database, verifier, metrics, send };
  }

  return {
    clock,
    bus,
    databaseUrl: testDatabase.url,
    logLines,
    createInstance,
    async close() {
      await bus.close();
      await Promise.all(databases.map((database) => database.close()));
      await testDatabase.drop();
    },
  };
}

/** Parses the body of the response with `schema`. Throws if it does not match. */
export function parseAs<T extends TSchema>(schema: T, { status, text, json }: TestUserResponse): Static<T> {
  if (Value.Check(schema, json)) return json;
  throw new Error(`unexpected response: ${status} ${text}`);
}

/** The code of a problem response. Undefined for other responses. */
export function problemCodeOf({ headers, json }: TestUserResponse): string | undefined {
  if (headers.get('content-type') !== 'application/problem+json') return undefined;
  return typeof json === 'object' && json !== null && 'code' in json ? String(json.code) : undefined;
}

function createRequest(
  method: string,
  path: string,
  { body, token, ...sent }: TestUserRequestOptions,
): Request {
  const headers = new Headers(sent.headers);
  if (body !== undefined) headers.set('content-type', 'application/json');
  if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  // Every client over a socket sends it.
  if (text !== undefined) headers.set('content-length', String(Buffer.byteLength(text)));
  return new Request(`http://localhost${path}`, {
    method,
    headers,
    ...(text === undefined ? {} : { body: text }),
  });
}

async function readResponse(pending: Promise<Response>): Promise<TestUserResponse> {
  const response = await pending;
  const text = await response.text();
  const json: unknown = text === '' ? undefined : JSON.parse(text);
  return { status: response.status, headers: response.headers, text, json };
}

function createRecordingLog(lines: string[]): Log {
  const write = (fields: object, message: string) => {
    lines.push(`${message} ${Bun.inspect(fields, { depth: 10 })}`);
  };
  const log: Log = { debug: write, info: write, warn: write, error: write, child: () => log };
  return log;
}
