import { createTripEvent } from '../../modules/trip/events.ts';
import { tripPolicyOf, tripSettings } from '../../modules/trip/settings.ts';
import { createInitialTransition } from '../../modules/trip/state.ts';
import type { TripCreation } from '../../modules/trip/store/store.ts';
import { riderView } from '../../modules/trip/views.ts';
import { asPersonId, type RiderId, type TripId } from '../../src/contracts/ids.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { loadConfig } from '../../src/platform/config.ts';
import type { Ids } from '../../src/platform/ids.ts';
import { createFakeQuote, ids as newIds } from './use-case.ts';

const fingerprint = 'tWkVb4Lh3Zz0Uo6m8hJ1ePq2sR5yXcN7aDfGgKjLlMo';

/** Creates what the use case would write for a new rider. */
export function createSampleCreation(ids: Ids = newIds): TripCreation {
  const riderId = ids<RiderId>();
  const { id, riderId: _, fare, createdAt, expiresAt, ...quote } = createFakeQuote(ids(), riderId, ids);
  const request = {
    id: ids<TripId>(),
    riderId,
    riderProfile: { firstName: 'Rider', rating: null },
    fare: { ...quote, quoteId: id, total: fare },
    startCode: '0420',
  };
  const transition = createInitialTransition(
    request,
    systemClock.nowMs(),
    tripPolicyOf(loadConfig(tripSettings, {})),
  );
  return {
    transition,
    event: createTripEvent(ids, transition),
    key: { personId: asPersonId(riderId), key: ids(), fingerprint },
    response: riderView(transition.trip),
  };
}
