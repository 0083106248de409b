import { ProblemDetails } from '@contracts/common.ts';
import type { LoginBody, LoginSession, RegisterBody, Tokens } from '@contracts/people.ts';
import { treaty } from '@elysia/eden';
import { Value } from '@sinclair/typebox/value';
import type { PublicApi } from '../apps/public-api.ts';
import { createTokenStore } from './token-store.ts';

export interface UitGoClientOptions {
  /** Of an earlier run: who was logged in goes on where they were. */
  tokens?: Tokens;
  /** Called with each new pair of tokens, and with undefined when the session has ended: keep them here. */
  onTokens?(tokens: Tokens | undefined): void;
  /** Instead of the global `fetch`. */
  fetch?: typeof fetch;
}

export type UitGoClient = ReturnType<typeof createUitGoClient>;

/**
 * The public API as functions, typed by the very routes that answer. `api` mirrors the paths:
 * `client.api.trips({ id }).cancel.post({ reason })` is `POST /v1/trips/:id/cancel`. A call resolves to
 * `{ data, error, status }`; `ask(call)` gives the data or throws a `ProblemError`. An access token
 * that has expired is renewed and the call sent again, once, whatever the number of calls under way.
 */
export function createUitGoClient(url: string, options: UitGoClientOptions = {}) {
  const session = createTokenStore(url, options);
  const api = treaty<PublicApi>(url, { parseDate: false, fetcher: session.fetch as typeof fetch }).v1;

  const entered = ({ person, tokens }: LoginSession) => {
    session.keep(tokens);
    return person;
  };
  return {
    api,
    unwrap,
    register: async (body: RegisterBody) => entered(await unwrap(api.auth.register.post(body))),
    login: async (body: LoginBody) => entered(await unwrap(api.auth.login.post(body))),
    /** Ends the session, here and on the server. */
    async logout(): Promise<void> {
      const refreshToken = session.tokens()?.refreshToken;
      session.keep(undefined);
      if (refreshToken !== undefined) await unwrap(api.auth.logout.post({ refreshToken }));
    },
    /** The address of a new live connection, for `new WebSocket(…)`; good once, for seconds. */
    async liveUrl(): Promise<string> {
      const { ticket } = await unwrap(api.realtime.ticket.post());
      return `${url.replace(/^http/, 'ws')}/v1/realtime?ticket=${encodeURIComponent(ticket)}`;
    },
  };
}

/** The server refused, and why: `problem.code` is stable. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';

  constructor(
    readonly status: number,
    readonly problem: ProblemDetails | undefined,
  ) {
    super(problem === undefined ? `the server answered ${status}` : `${problem.code}: ${problem.title}`);
  }
}

interface Answered<Data> {
  data: Data | null;
  error: { status: unknown; value: unknown } | null;
}

/** The data of an answer. Throws ProblemError; rejects as `fetch` does when there is none. */
async function unwrap<Data>(call: Promise<Answered<Data>>): Promise<Data> {
  const { data, error } = await call;
  if (error === null) return data as Data;
  // Eden tells a call that never was answered as one.
  if (error.value instanceof Error) throw error.value;
  throw new ProblemError(
    Number(error.status),
    Value.Check(ProblemDetails, error.value) ? error.value : undefined,
  );
}
