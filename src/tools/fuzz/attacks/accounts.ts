/** A rider with a trip, and a driver. */
export interface BystanderAccounts {
  rider: BystanderAccount;
  driver: BystanderAccount;
  tripId: string;
}
export interface BystanderAccount {
  email: string;
  password: string;
  token: string;
}

export interface JsonRequestOptions {
  token?: string;
  body?: object;
  headers?: Record<string, string>;
}

const password = 'correct horse battery';
const pickup = { lat: 10.7769, lng: 106.7009 };
const dropoff = { lat: 10.8231, lng: 106.6297 };

/** Sends a request and returns the JSON of the response; throws if the status is not the expected one. */
export async function requestJson(
  url: string,
  status: number,
  method: string,
  path: string,
  { token, body, headers = {} }: JsonRequestOptions = {},
): Promise<Record<string, unknown>> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (response.status !== status)
    throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 120)}`);
  return text === '' ? {} : JSON.parse(text);
}

export async function registerBystanders(url: string): Promise<BystanderAccounts> {
  const rider = await signUp(url, 'rider');
  const driver = await signUp(url, 'driver');
  const vehicle = { product: 'car', plate: '51F-77', model: 'Vios', colour: 'white' };
  await requestJson(url, 200, 'PUT', '/v1/drivers/me/vehicle', { token: driver.token, body: vehicle });
  await requestJson(url, 200, 'PUT', '/v1/drivers/me/status', {
    token: driver.token,
    body: { status: 'available' },
  });
  const { token } = rider;
  const card = { kind: 'card', token: 'tok_visa' };
  await requestJson(url, 201, 'POST', '/v1/payment-methods', { token, body: card });
  const quote = await requestJson(url, 201, 'POST', '/v1/quotes', {
    token,
    body: { pickup, dropoff, product: 'car' },
  });
  const headers = { 'idempotency-key': crypto.randomUUID() };
  const trip = await requestJson(url, 201, 'POST', '/v1/trips', {
    token,
    body: { quoteId: quote.id },
    headers,
  });
  return { rider, driver, tripId: String(trip.id) };
}

async function signUp(url: string, role: 'rider' | 'driver'): Promise<BystanderAccount> {
  const email = `bystander-${role}-${crypto.randomUUID()}@example.com`;
  const body = { email, password, name: role, role };
  const { tokens } = (await requestJson(url, 201, 'POST', '/v1/auth/register', { body })) as {
    tokens: { accessToken: string };
  };
  return { email, password, token: tokens.accessToken };
}
