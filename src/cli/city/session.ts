import { Session, Tokens } from '@contracts/people.ts';
import type { Clock } from '@platform/clock.ts';
import type { Static, TSchema } from '@sinclair/typebox';
import { type Call, type Http, type Refusal, type Reply, shape } from './http.ts';

export interface Enrolment {
  email: string;
  password: string;
  name: string;
  role: 'rider' | 'driver';
}

/** Calls in a person's name. Its token is renewed before it ends, and when the server says that it has. */
export interface Caller {
  personId: Session['person']['id'];
  send<S extends TSchema>(call: Omit<Call<S>, 'token'>): Promise<Reply<Static<S>>>;
  /** The phone is lost: from now on nothing is sent. */
  silence(): void;
}

const sessionShape = shape(Session);
const tokensShape = shape(Tokens);
const renewBeforeMs = 30_000;
// A deployment limits sign-ins per address and minute; a whole city comes from one address, so it waits.
const enrolPatienceMs = 15 * 60_000;

/** Registers a person, or signs in when an earlier attempt had got through without an answer. */
export async function enrol(
  http: Http,
  clock: Clock,
  enrolment: Enrolment,
  signal: AbortSignal,
): Promise<Reply<Caller>> {
  const registered = await http.send({
    method: 'POST',
    path: '/v1/auth/register',
    answer: sessionShape,
    body: enrolment,
    signal,
    patienceMs: enrolPatienceMs,
  });
  const session = registered.ok || !registered.uncertain ? registered : await signIn(http, enrolment, signal);
  if (!session.ok) return session;
  return { ok: true, value: createCaller(http, clock, enrolment, session.value, signal) };
}

const silent: Refusal = {
  ok: false,
  code: 'city.silent',
  status: null,
  detail: 'the phone is lost',
  uncertain: false,
};

const signIn = (http: Http, { email, password }: Enrolment, signal: AbortSignal): Promise<Reply<Session>> =>
  http.send({
    method: 'POST',
    path: '/v1/auth/login',
    answer: sessionShape,
    body: { email, password },
    signal,
    patienceMs: enrolPatienceMs,
  });

function createCaller(
  http: Http,
  clock: Clock,
  enrolment: Enrolment,
  session: Session,
  signal: AbortSignal,
): Caller {
  let tokens = session.tokens;
  let renewing: Promise<Refusal | undefined> | undefined;
  let isSilent = false;

  /** At most one renewal at a time: a refresh token is good for one use. */
  function renew(): Promise<Refusal | undefined> {
    renewing ??= renewOnce().finally(() => {
      renewing = undefined;
    });
    return renewing;
  }

  async function renewOnce(): Promise<Refusal | undefined> {
    const { refreshToken } = tokens;
    const call = { method: 'POST', path: '/v1/auth/refresh', body: { refreshToken }, signal } as const;
    const refreshed = await http.send({ ...call, answer: tokensShape });
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
    silence() {
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
