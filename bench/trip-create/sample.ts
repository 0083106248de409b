import { tripEvent } from '../../modules/trip/events.ts';
import { policyOf, tripSettings } from '../../modules/trip/settings.ts';
import { firstStep } from '../../modules/trip/state.ts';
import type { Creation } from '../../modules/trip/store/store.ts';
import { riderView } from '../../modules/trip/views.ts';
import { asPerson, type RiderId, type TripId } from '../../src/contracts/ids.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { loadConfig } from '../../src/platform/config.ts';
import type { Ids } from '../../src/platform/ids.ts';
import { madeUpQuote, ids as newIds } from './use-case.ts';

const fingerprint = 'tWkVb4Lh3Zz0Uo6m8hJ1ePq2sR5yXcN7aDfGgKjLlMo';

/** What the use case would write for a new rider. */
export function sampleCreation(ids: Ids = newIds): Creation {
  const riderId = ids<RiderId>();
  const { id, riderId: _, fare, createdAt, expiresAt, ...quote } = madeUpQuote(ids(), riderId, ids);
  const asked = {
    id: ids<TripId>(),
    riderId,
    riderCard: { firstName: 'Rider', rating: null },
    fare: { ...quote, quoteId: id, total: fare },
    startCode: '0420',
  };
  const step = firstStep(asked, systemClock.nowMs(), policyOf(loadConfig(tripSettings, {})));
  return {
    step,
    event: tripEvent(ids, step),
    key: { personId: asPerson(riderId), key: ids(), fingerprint },
    answer: riderView(step.trip),
  };
}
