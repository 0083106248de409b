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

/** Calls in a person's name. Its token is renewed before it ends, and when the server says that it has. */
export interface AuthenticatedClient {
  personId: LoginSession['person']['id'];
  send<S extends TSchema>(call: Omit<ApiCall<S>, 'token'>): Promise<ApiReply<Static<S>>>;
  /** The phone is lost: from now on nothing is sent. */
  disconnect(): void;
}

const sessionShape = compileSchema(LoginSession);
const tokensShape = compileSchema(Tokens);
const renewBeforeMs = 30_000;
// A deployment limits sign-ins per address and minute; a whole city comes from one address, so it waits.
const enrolPatienceMs = 15 * 60_000;

/** Registers a person, or signs in when an earlier attempt had got through without an answer. */
export async function enrolPerson(
  http: ApiTransport,
  clock: Clock,
  enrolment: Enrolment,
  signal: AbortSignal,
): Promise<ApiReply<AuthenticatedClient>> {
  const registered = await http.send({
    method: 'POST',
    path: '/v1/auth/register',
    responseSchema: sessionShape,
    body: enrolment,
    signal,
    retryForMs: enrolPatienceMs,
  });
  const session =
    registered.ok || !registered.isOutcomeUnknown ? registered : await signIn(http, enrolment, signal);
  if (!session.ok) return session;
  return { ok: true, value: createCaller(http, clock, enrolment, session.value, signal) };
}

const silent: FailedReply = {
  ok: false,
  code: 'city.silent',
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
    responseSchema: sessionShape,
    body: { email, password },
    signal,
    retryForMs: enrolPatienceMs,
  });

function createCaller(
  http: ApiTransport,
  clock: Clock,
  enrolment: Enrolment,
  session: LoginSession,
  signal: AbortSignal,
): AuthenticatedClient {
  let tokens = session.tokens;
  let renewing: Promise<FailedReply | undefined> | undefined;
  let isSilent = false;

  /** At most one renewal at a time: a refresh token is good for one use. */
  function renew(): Promise<FailedReply | undefined> {
    renewing ??= renewOnce().finally(() => {
      renewing = undefined;
    });
    return renewing;
  }

  async function renewOnce(): Promise<FailedReply | undefined> {
    const { refreshToken } = tokens;
    const call = { method: 'POST', path: '/v1/auth/refresh', body: { refreshToken }, signal } as const;
    const refreshed = await http.send({ ...call, responseSchema: tokensShape });
    if (refreshed.ok) {
      tokens = refreshed.value;
      return undefined;
    }
    // Its answer may have been lost after the token was used up.
    const signedIn = await signIn(http, enrolment, signal);
    if (!signedIn.ok) return signedIn;
    tokens = signedIn.value.tokens;
    return undefined;
  }

  return {
    personId: session.person.id,
    disconnect() {
      isSilent = true;
    },
    async send(call) {
      if (isSilent) return silent;
      if (Date.parse(tokens.accessExpiresAt) - clock.nowMs() < renewBeforeMs) {
        const refusal = await renew();
        if (refusal !== undefined) return refusal;
      }
      const used = tokens.accessToken;
      const reply = await http.send({ ...call, token: used });
      if (reply.ok || reply.status !== 401) return reply;
      const refusal = used === tokens.accessToken ? await renew() : undefined;
      return refusal ?? http.send({ ...call, token: tokens.accessToken });
    },
  };
}
