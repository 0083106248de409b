/** A rider and a driver, and the rider's trip. */
export interface People {
  rider: Person;
  driver: Person;
  tripId: string;
}
export interface Person {
  email: string;
  password: string;
  token: string;
}

export interface AskOptions {
  token?: string;
  body?: object;
  headers?: Record<string, string>;
}

const password = 'correct horse battery';
const pickup = { lat: 10.7769, lng: 106.7009 };
const dropoff = { lat: 10.8231, lng: 106.6297 };

/** The JSON of an answer with that status, else an error that shows the answer. */
export async function ask(
  url: string,
  status: number,
  method: string,
  path: string,
  { token, body, headers = {} }: AskOptions = {},
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

export async function signUpPeople(url: string): Promise<People> {
  const rider = await signUp(url, 'rider');
  const driver = await signUp(url, 'driver');
  const vehicle = { product: 'car', plate: '51F-77', model: 'Vios', colour: 'white' };
  await ask(url, 200, 'PUT', '/v1/drivers/me/vehicle', { token: driver.token, body: vehicle });
  await ask(url, 200, 'PUT', '/v1/drivers/me/status', { token: driver.token, body: { status: 'available' } });
  const { token } = rider;
  const card = { kind: 'card', token: 'tok_visa' };
  await ask(url, 201, 'POST', '/v1/payment-methods', { token, body: card });
  const quote = await ask(url, 201, 'POST', '/v1/quotes', {
    token,
    body: { pickup, dropoff, product: 'car' },
  });
  const headers = { 'idempotency-key': crypto.randomUUID() };
  const trip = await ask(url, 201, 'POST', '/v1/trips', { token, body: { quoteId: quote.id }, headers });
  return { rider, driver, tripId: String(trip.id) };
}

async function signUp(url: string, role: 'rider' | 'driver'): Promise<Person> {
  const email = `bystander-${role}-${crypto.randomUUID()}@example.com`;
  const body = { email, password, name: role, role };
  const { tokens } = (await ask(url, 201, 'POST', '/v1/auth/register', { body })) as {
    tokens: { accessToken: string };
  };
  return { email, password, token: tokens.accessToken };
}
