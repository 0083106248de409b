import { defineProblems } from '@platform/problems.ts';

export const tripProblem = defineProblems({
  // Somebody else's trip answers the same: who may not see it can't learn that it exists.
  'trip.not_found': ['not_found', 'There is no such trip of yours'],
  'trip.wrong_state': ['conflict', 'The trip is not in a state that allows this'],
  'trip.conflict': ['conflict', 'Others keep changing this trip; read it again'],
  'trip.rider_busy': ['conflict', 'You have a trip under way already'],
  'trip.offer_expired': ['conflict', 'The offer is not open to you any more'],
  'trip.start_code_wrong': ['conflict', 'This is not the code that the rider was shown'],
  'trip.start_code_blocked': ['too_many', 'Too many wrong codes; wait before the next one'],
  'trip.driver_not_silent': ['conflict', 'The driver still sends positions; they end the ride'],
  'trip.pickup_missing': ['unprocessable', 'The ride has begun: say where the rider waits now'],
  'trip.rated': ['conflict', 'You have rated this trip already'],
  'trip.payment_declined': ['conflict', "The rider's card was declined; the trip has ended"],
  'payment.debt_outstanding': ['conflict', 'An earlier trip is not paid yet'],
  'quote.not_found': ['not_found', 'There is no such quote of yours'],
  'quote.expired': ['conflict', 'The quote has expired; ask for a new one'],
  'quote.used': ['conflict', 'The quote has been used for a trip already'],
});

export function throwTripNotFound(): never {
  throw tripProblem('trip.not_found');
}
