import { ProblemDetails } from '@contracts/common.ts';
import type { LoginBody, LoginSession, RegisterBody } from '@contracts/people.ts';
import { treaty } from '@elysia/eden';
import { Value } from '@sinclair/typebox/value';
import type { PublicApi } from '../apps/public-api.ts';
import type { UitGoClientOptions } from './options.ts';
import { createTokenStore } from './token-store.ts';

export type { UitGoClientOptions } from './options.ts';

export type UitGoClient = ReturnType<typeof createUitGoClient>;

/**
 * The public API as functions, typed by the routes themselves. `api` mirrors the paths:
 * `client.api.trips({ id }).cancel.post({ reason })` is `POST /v1/trips/:id/cancel`. A call resolves to
 * `{ data, error, status }`. `unwrap(call)` returns the data or throws a `ProblemError`. When the access token has
 * expired, it is refreshed and the call is sent once more; calls in flight share one refresh.
 */
export function createUitGoClient(url: string, options: UitGoClientOptions = {}) {
  const store = createTokenStore(url, options);
  const api = treaty<PublicApi>(url, { parseDate: false, fetcher: store.fetch as typeof fetch }).v1;

  const startSession = ({ person, tokens }: LoginSession) => {
    store.setTokens(tokens);
    return person;
  };
  return {
    api,
    unwrap,
    register: async (body: RegisterBody) => startSession(await unwrap(api.auth.register.post(body))),
    login: async (body: LoginBody) => startSession(await unwrap(api.auth.login.post(body))),
    /** Ends the login session, here and on the server. */
    async logout(): Promise<void> {
      const refreshToken = store.tokens()?.refreshToken;
      store.setTokens(undefined);
      if (refreshToken !== undefined) await unwrap(api.auth.logout.post({ refreshToken }));
    },
    /** Returns the address of a new live connection, for `new WebSocket(…)`. It is valid once and for seconds. */
    async liveUrl(): Promise<string> {
      const { ticket } = await unwrap(api.realtime.ticket.post());
      return `${url.replace(/^http/, 'ws')}/v1/realtime?ticket=${encodeURIComponent(ticket)}`;
    },
  };
}

/** The server answered with a problem. Its `problem.code` is stable. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';

  constructor(
    readonly status: number,
    readonly problem: ProblemDetails | undefined,
  ) {
    super(problem === undefined ? `the server answered ${status}` : `${problem.code}: ${problem.title}`);
  }
}

interface CallResult<Data> {
  data: Data | null;
  error: { status: unknown; value: unknown } | null;
}

/** Returns the data of a call. Throws a ProblemError, or rejects as `fetch` does when there was no response. */
async function unwrap<Data>(call: Promise<CallResult<Data>>): Promise<Data> {
  const { data, error } = await call;
  if (error === null) return data as Data;
  // Eden reports a call without a response as an error whose value is an Error.
  if (error.value instanceof Error) throw error.value;
  const details = Value.Check(ProblemDetails, error.value) ? error.value : undefined;
  throw new ProblemError(Number(error.status), details);
}
