import type { Servers } from '../../src/tools/servers/index.ts';
import { type BenchPerson, createPeople } from '../positions/people.ts';
import type { System } from '../positions/system.ts';
import type { RequestKind } from './load.ts';

const riderCount = 400;
const ridersAtOnce = 20;
const pickup = { lat: 10.776, lng: 106.7 };
const dropoff = { lat: 10.8, lng: 106.65 };

/**
 * Requests of all priorities: the current trip, a quote, a driver's position, the list of trips. In a real city
 * nine of ten would be positions; here the others have larger shares, because they show whether priorities are
 * respected.
 */
export async function createRequestMix(system: System, servers: Servers): Promise<RequestKind[]> {
  const databaseUrl = servers.postgres?.url ?? '';
  const riders = await createPeople(databaseUrl, system.signingKeySecret, 'rider', riderCount);
  const tripIds = new Map<BenchPerson, string>();
  for (let from = 0; from < riders.length; from += ridersAtOnce) {
    const part = riders.slice(from, from + ridersAtOnce);
    await Promise.all(part.map(async (rider) => tripIds.set(rider, await makeTrip(system.url, rider))));
  }
  const { host } = new URL(system.url);
  const drivers = system.drivers.map(({ token }, n) => {
    const body = JSON.stringify({ lat: 10.7 + (n % 100) / 1000, lng: 106.6 + (n % 89) / 1000 });
    return requestText(host, 'PUT', '/v1/drivers/me/location', token, body);
  });
  const quote = JSON.stringify({ pickup, dropoff, product: 'car' });
  return [
    {
      priority: 1,
      share: 0.1,
      requests: [...tripIds].map(([{ token }, id]) => requestText(host, 'GET', `/v1/trips/${id}`, token)),
    },
    {
      priority: 2,
      share: 0.2,
      requests: riders.map(({ token }) => requestText(host, 'POST', '/v1/quotes', token, quote)),
    },
    { priority: 3, share: 0.5, requests: drivers },
    {
      priority: 4,
      share: 0.2,
      requests: riders.map(({ token }) => requestText(host, 'GET', '/v1/trips?limit=20', token)),
    },
  ];
}

/** Creates a cancelled trip, which can be read and is not dispatched any more. */
async function makeTrip(url: string, rider: BenchPerson): Promise<string> {
  await post(url, '/v1/payment-methods', rider, { kind: 'card', token: 'tok_visa' });
  const quote = await post(url, '/v1/quotes', rider, { pickup, dropoff, product: 'car' });
  const trip = await post(url, '/v1/trips', rider, { quoteId: quote.id });
  await post(url, `/v1/trips/${trip.id}/cancel`, rider, { reason: 'changed_mind' });
  return String(trip.id);
}

async function post(url: string, path: string, { token }: BenchPerson, body: unknown) {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as Record<string, unknown>;
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${JSON.stringify(answer)}`);
  return answer;
}

function requestText(host: string, method: string, path: string, token: string, body?: string): string {
  const head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\nauthorization: Bearer ${token}\r\n`;
  if (body === undefined) return `${head}\r\n`;
  return `${head}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}
