import { PaymentMethod, Quote, Receipt } from '@contracts/payments.ts';
import { LoginSession } from '@contracts/people.ts';
import { Trip } from '@contracts/trips.ts';
import { type ApiCallObserver, compileSchema } from '../city/http.ts';

/** What clients attempted and what was acknowledged to them, recorded outside of the system to check it afterwards. */
export interface ClientHistory {
  callObserver: ApiCallObserver;
  readonly attempted: AttemptedCalls;
  readonly acknowledged: AcknowledgedFacts;
}

export interface AttemptedCalls {
  emails: Set<string>;
  /** The idempotency keys of all POSTs that create something. */
  keys: Set<string>;
  /** `<trip id>/<accept, decline, arrive, start, complete, cancel>` */
  steps: Set<string>;
}

export interface AcknowledgedFacts {
  people: Set<string>;
  cards: Set<string>;
  /** Quote id to its fare in minor units. */
  quotes: Map<string, number>;
  /** `<trip id> <version>` to the status that the trip was in. */
  trips: Map<string, ObservedTrip>;
  /** Payment id to its last receipt. */
  receipts: Map<string, Receipt>;
}

export interface ObservedTrip {
  id: string;
  version: number;
  status: string;
}

const shapes = {
  session: compileSchema(LoginSession),
  card: compileSchema(PaymentMethod),
  quote: compileSchema(Quote),
  trip: compileSchema(Trip),
  receipt: compileSchema(Receipt),
};

const stepPath = /^\/v1\/trips\/([^/]+)\/(accept|decline|arrive|start|complete|cancel)$/;

export function createClientHistory(): ClientHistory {
  const attempted: AttemptedCalls = { emails: new Set(), keys: new Set(), steps: new Set() };
  const acknowledged: AcknowledgedFacts = {
    people: new Set(),
    cards: new Set(),
    quotes: new Map(),
    trips: new Map(),
    receipts: new Map(),
  };

  const callObserver: ApiCallObserver = {
    onSent({ method, path, body, idempotencyKey }) {
      if (method !== 'POST') return;
      if (idempotencyKey !== undefined) attempted.keys.add(idempotencyKey);
      const [, tripId, step] = stepPath.exec(path) ?? [];
      if (step !== undefined) attempted.steps.add(`${tripId}/${step}`);
      if (path === '/v1/auth/register') attempted.emails.add(emailOf(body));
    },
    onAnswered(_, value) {
      if (shapes.trip.Check(value)) {
        const { id, version, status } = value;
        acknowledged.trips.set(`${id} ${version}`, { id, version, status });
      } else if (shapes.quote.Check(value)) acknowledged.quotes.set(value.id, value.fare.amountMinor);
      else if (shapes.receipt.Check(value)) acknowledged.receipts.set(value.paymentId, value);
      else if (shapes.session.Check(value)) acknowledged.people.add(value.person.id);
      else if (shapes.card.Check(value)) acknowledged.cards.add(value.id);
    },
  };
  return { callObserver, attempted, acknowledged };
}

export const countAcknowledged = ({ people, cards, quotes, trips, receipts }: AcknowledgedFacts) => ({
  people: people.size,
  cards: cards.size,
  quotes: quotes.size,
  trips: new Set([...trips.values()].map(({ id }) => id)).size,
  tripVersions: trips.size,
  receipts: receipts.size,
});

function emailOf(body: unknown): string {
  return typeof body === 'object' && body !== null && 'email' in body ? String(body.email).toLowerCase() : '';
}
