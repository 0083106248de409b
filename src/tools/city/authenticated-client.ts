import { LoginSession, Tokens } from '@contracts/people.ts';
import type { Clock } from '@platform/clock.ts';
import type { Static, TSchema } from '@sinclair/typebox';
import { type ApiCall, type ApiReply, type ApiTransport, compileSchema, type FailedReply } from './http.ts';

export interface Enrolment {
  email: string;
  password: string;
  name: string;
  role: 'rider' | 'driver';
}

/** Sends requests as one person. The access token is refreshed before it expires and after a 401. */
export interface AuthenticatedClient {
  personId: LoginSession['person']['id'];
  send<S extends TSchema>(call: Omit<ApiCall<S>, 'token'>): Promise<ApiReply<Static<S>>>;
  /** Simulates a lost phone: nothing is sent any more. */
  disconnect(): void;
}

const loginSessionSchema = compileSchema(LoginSession);
const tokensSchema = compileSchema(Tokens);
const refreshBeforeMs = 30_000;
// Sign-ins are limited per address and minute, and the whole city uses one address, so enrolment may have to wait.
const enrolRetryForMs = 15 * 60_000;

/** Registers a person, or signs in if an earlier attempt succeeded without a response. */
export async function enrolPerson(
  http: ApiTransport,
  clock: Clock,
  enrolment: Enrolment,
  signal: AbortSignal,
): Promise<ApiReply<AuthenticatedClient>> {
  const registered = await http.send({
    method: 'POST',
    path: '/v1/auth/register',
    responseSchema: loginSessionSchema,
    body: enrolment,
    signal,
    retryForMs: enrolRetryForMs,
  });
  const session =
    registered.ok || !registered.isOutcomeUnknown ? registered : await signIn(http, enrolment, signal);
  if (!session.ok) return session;
  return { ok: true, value: createAuthenticatedClient(http, clock, enrolment, session.value, signal) };
}

const disconnectedReply: FailedReply = {
  ok: false,
  code: 'city.disconnected',
  status: null,
  detail: 'the phone is lost',
  isOutcomeUnknown: false,
};

const signIn = (
  http: ApiTransport,
  { email, password }: Enrolment,
  signal: AbortSignal,
): Promise<ApiReply<LoginSession>> =>
  http.send({
    method: 'POST',
    path: '/v1/auth/login',
    responseSchema: loginSessionSchema,
    body: { email, password },
    signal,
    retryForMs: enrolRetryForMs,
  });

function createAuthenticatedClient(
  http: ApiTransport,
  clock: Clock,
  enrolment: Enrolment,
  session: LoginSession,
  signal: AbortSignal,
): AuthenticatedClient {
  let tokens = session.tokens;
  let refreshing: Promise<FailedReply | undefined> | undefined;
  let isDisconnected = false;

  /** Refreshes the token, at most once at a time, because a refresh token is single-use. */
  function refresh(): Promise<FailedReply | undefined> {
    refreshing ??= refreshOnce().finally(() => {
      refreshing = undefined;
    });
    return refreshing;
  }

  async function refreshOnce(): Promise<FailedReply | undefined> {
    const { refreshToken } = tokens;
    const call = { method: 'POST', path: '/v1/auth/refresh', body: { refreshToken }, signal } as const;
    const refreshed = await http.send({ ...call, responseSchema: tokensSchema });
    if (refreshed.ok) {
      tokens = refreshed.value;
      return undefined;
    }
    // The response may have been lost after the refresh token was used.
    const signedIn = await signIn(http, enrolment, signal);
    if (!signedIn.ok) return signedIn;
    tokens = signedIn.value.tokens;
    return undefined;
  }

  return {
    personId: session.person.id,
    disconnect() {
      isDisconnected = true;
    },
    async send(call) {
      if (isDisconnected) return disconnectedReply;
      if (Date.parse(tokens.accessExpiresAt) - clock.nowMs() < refreshBeforeMs) {
        const failure = await refresh();
        if (failure !== undefined) return failure;
      }
      const used = tokens.accessToken;
      const reply = await http.send({ ...call, token: used });
      if (reply.ok || reply.status !== 401) return reply;
      const failure = used === tokens.accessToken ? await refresh() : undefined;
      return failure ?? http.send({ ...call, token: tokens.accessToken });
    },
  };
}
