import type { PersonId } from '@contracts/ids.ts';
import type { LoginSession, Role } from '@contracts/people.ts';

/** A response as a client sees it; `body` is undefined when there is none. */
export interface ApiResponse<Body = unknown> {
  status: number;
  headers: Headers;
  body: Body;
  /** The code of a problem. */
  code: string | undefined;
}

export interface ApiRequestOptions {
  body?: unknown;
  /** Sent verbatim instead of `body`. */
  text?: string;
  headers?: Record<string, string>;
  idempotencyKey?: string;
}

/** A client of the public edge. */
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

/** Creates a client of the edge at `url`. It sends the access token if one is given. */
export function createApiClient(url: string, accessToken?: string): ApiClient {
  return {
    async request<Body>(
      method: string,
      path: string,
      { body, text, headers, idempotencyKey }: ApiRequestOptions = {},
    ) {
      const sentBody = text ?? (body === undefined ? undefined : JSON.stringify(body));
      const response = await fetch(`${url}${path}`, {
        method,
        headers: {
          ...(sentBody === undefined ? {} : { 'content-type': 'application/json' }),
          ...(accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }),
          ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
          ...headers,
        },
        ...(sentBody === undefined ? {} : { body: sentBody }),
      });
      const received = await response.text();
      const parsed = received === '' ? undefined : JSON.parse(received);
      const code =
        response.headers.get('content-type') === 'application/problem+json' ? parsed.code : undefined;
      return { status: response.status, headers: response.headers, body: parsed as Body, code };
    },
  };
}

let peopleCount = 0;

/** Registers a new person. */
export async function signUp(url: string, role: Exclude<Role, 'ops'>): Promise<PersonClient> {
  const email = `${role}-${++peopleCount}-${crypto.randomUUID()}@example.com`;
  const { status, body } = await createApiClient(url).request<LoginSession>('POST', '/v1/auth/register', {
    body: { email, password, name: `${role} ${peopleCount}`, role },
  });
  if (status !== 201) throw new Error(`registration returned ${status}: ${JSON.stringify(body)}`);
  return { ...createApiClient(url, body.tokens.accessToken), id: body.person.id, email, session: body };
}

/** Registers a rider and adds a card. */
export async function signUpRider(url: string, cardToken = 'tok_visa'): Promise<PersonClient> {
  const rider = await signUp(url, 'rider');
  await expectStatus(
    201,
    rider.request('POST', '/v1/payment-methods', { body: { kind: 'card', token: cardToken } }),
  );
  return rider;
}

/** Registers a driver with a car, who is available at `at`. */
export async function signUpDriver(url: string, at: { lat: number; lng: number }): Promise<PersonClient> {
  const driver = await signUp(url, 'driver');
  const vehicle = { product: 'car', plate: `51F-${peopleCount}`, model: 'Vios', colour: 'white' };
  await expectStatus(200, driver.request('PUT', '/v1/drivers/me/vehicle', { body: vehicle }));
  await expectStatus(200, driver.request('PUT', '/v1/drivers/me/status', { body: { status: 'available' } }));
  await expectStatus(204, driver.request('PUT', '/v1/drivers/me/location', { body: at }));
  return driver;
}

/** Returns the response if it has the status, else throws an error that shows it. */
export async function expectStatus<Body>(
  status: number,
  pending: Promise<ApiResponse<Body>>,
): Promise<ApiResponse<Body>> {
  const response = await pending;
  if (response.status === status) return response;
  throw new Error(`expected ${status}, got ${response.status}: ${JSON.stringify(response.body)}`);
}
