import type { PersonId } from '@contracts/ids.ts';
import type { LoginSession, Role } from '@contracts/people.ts';

/** An answer as a client sees it; `body` is undefined where there is none. */
export interface ApiResponse<Body = unknown> {
  status: number;
  headers: Headers;
  body: Body;
  /** Of a problem. */
  code: string | undefined;
}

export interface ApiRequestOptions {
  body?: unknown;
  /** Sent as it is instead of `body`. */
  text?: string;
  headers?: Record<string, string>;
  idempotencyKey?: string;
}

/** Somebody who talks to the public edge. */
export interface ApiClient {
  request<Body = Record<string, unknown>>(
    method: string,
    path: string,
    options?: ApiRequestOptions,
  ): Promise<ApiResponse<Body>>;
}
export interface PersonClient extends ApiClient {
  id: PersonId;
  email: string;
  session: LoginSession;
}

export const password = 'correct horse battery';

/** A client of the edge at `url`, with the access token when there is one. */
export function createApiClient(url: string, accessToken?: string): ApiClient {
  return {
    async request<Body>(
      method: string,
      path: string,
      { body, text, headers, idempotencyKey }: ApiRequestOptions = {},
    ) {
      const sent = text ?? (body === undefined ? undefined : JSON.stringify(body));
      const response = await fetch(`${url}${path}`, {
        method,
        headers: {
          ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
          ...(accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }),
          ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
          ...headers,
        },
        ...(sent === undefined ? {} : { body: sent }),
      });
      const received = await response.text();
      const parsed = received === '' ? undefined : JSON.parse(received);
      const code =
        response.headers.get('content-type') === 'application/problem+json' ? parsed.code : undefined;
      return { status: response.status, headers: response.headers, body: parsed as Body, code };
    },
  };
}

let people = 0;

/** Registers somebody new. */
export async function signUp(url: string, role: Exclude<Role, 'ops'>): Promise<PersonClient> {
  const email = `${role}-${++people}-${crypto.randomUUID()}@example.com`;
  const { status, body } = await createApiClient(url).request<LoginSession>('POST', '/v1/auth/register', {
    body: { email, password, name: `${role} ${people}`, role },
  });
  if (status !== 201) throw new Error(`registering answered ${status}: ${JSON.stringify(body)}`);
  return { ...createApiClient(url, body.tokens.accessToken), id: body.person.id, email, session: body };
}

/** A rider with a card. */
export async function signUpRider(url: string, cardToken = 'tok_visa'): Promise<PersonClient> {
  const rider = await signUp(url, 'rider');
  await expectStatus(
    201,
    rider.request('POST', '/v1/payment-methods', { body: { kind: 'card', token: cardToken } }),
  );
  return rider;
}

/** A driver with a car, available at `at`. */
export async function signUpDriver(url: string, at: { lat: number; lng: number }): Promise<PersonClient> {
  const driver = await signUp(url, 'driver');
  const vehicle = { product: 'car', plate: `51F-${people}`, model: 'Vios', colour: 'white' };
  await expectStatus(200, driver.request('PUT', '/v1/drivers/me/vehicle', { body: vehicle }));
  await expectStatus(200, driver.request('PUT', '/v1/drivers/me/status', { body: { status: 'available' } }));
  await expectStatus(204, driver.request('PUT', '/v1/drivers/me/location', { body: at }));
  return driver;
}

/** The answer, if it has that status; else an error that shows it. */
export async function expectStatus<Body>(
  status: number,
  answering: Promise<ApiResponse<Body>>,
): Promise<ApiResponse<Body>> {
  const answer = await answering;
  if (answer.status === status) return answer;
  throw new Error(`expected ${status}, got ${answer.status}: ${JSON.stringify(answer.body)}`);
}
