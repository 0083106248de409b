import type { QuoteId, TripId } from '@contracts/ids.ts';
import { Trip } from '@contracts/trips.ts';
import type { Static, TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';

export interface TestTripClient {
  send(method: string, path: string, options?: TestTripRequestOptions): Promise<TestTripResponse>;
  create(quoteId: QuoteId, idempotencyKey?: string): Promise<TestTripResponse>;
  get(tripId: TripId): Promise<TestTripResponse>;
  /** POST /v1/trips/:id/<step> */
  act(tripId: TripId, step: string, body?: unknown): Promise<TestTripResponse>;
}

export interface TestTripRequestOptions {
  body?: unknown;
  headers?: Record<string, string>;
}

export interface TestTripResponse {
  status: number;
  headers: Headers;
  text: string;
  /** The problem code, if the response is a problem. */
  code: string | undefined;
  /** Parses the body with `schema`. Throws if it does not match. */
  parseAs<T extends TSchema>(schema: T): Static<T>;
  trip: Trip;
}

/** A client of the trip API that sends requests straight to the HTTP app. */
export function createTripClient(
  handle: (request: Request) => Promise<Response>,
  bearer: { authorization: string },
): TestTripClient {
  const send: TestTripClient['send'] = async (method, path, { body, headers = {} } = {}) => {
    const requestBody = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const type = requestBody === undefined ? {} : { 'content-type': 'application/json' };
    const request = new Request(`http://trip.test${path}`, {
      method,
      headers: { ...type, ...bearer, ...headers },
      ...(requestBody === undefined ? {} : { body: requestBody }),
    });
    return readResponse(await handle(request));
  };
  return {
    send,
    create: (quoteId, idempotencyKey) =>
      send('POST', '/v1/trips', {
        body: { quoteId },
        headers: idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey },
      }),
    get: (tripId) => send('GET', `/v1/trips/${tripId}`),
    act: (tripId, step, body) =>
      send('POST', `/v1/trips/${tripId}/${step}`, body === undefined ? {} : { body }),
  };
}

async function readResponse(response: Response): Promise<TestTripResponse> {
  const text = await response.text();
  const json: unknown = text === '' ? undefined : JSON.parse(text);
  const isProblem = response.headers.get('content-type') === 'application/problem+json';
  const read = <T extends TSchema>(schema: T): Static<T> => {
    if (Value.Check(schema, json)) return json;
    throw new Error(`unexpected response: ${response.status} ${text}`);
  };
  return {
    status: response.status,
    headers: response.headers,
    text,
    code:
      isProblem && typeof json === 'object' && json !== null && 'code' in json
        ? String(json.code)
        : undefined,
    parseAs: read,
    get trip() {
      return read(Trip);
    },
  };
}
