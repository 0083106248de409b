import { defineProblems } from '@platform/problems.ts';

export const tripProblem = defineProblems({
  // Also the response for trips of other people, so that nobody can find out that they exist.
  'trip.not_found': ['not_found', 'Trip not found'],
  'trip.wrong_state': ['conflict', 'Not allowed in the current state of the trip'],
  'trip.conflict': ['conflict', 'Trip was changed by others, read it again'],
  'trip.rider_busy': ['conflict', 'You already have an active trip'],
  'trip.offer_expired': ['conflict', 'Offer is no longer open'],
  'trip.start_code_wrong': ['conflict', 'Start code is wrong'],
  'trip.start_code_blocked': ['too_many', 'Too many wrong start codes, retry later'],
  'trip.driver_not_silent': ['conflict', 'Driver is still sending positions'],
  'trip.pickup_missing': ['unprocessable', 'The ride has begun, a new pickup is required'],
  'trip.rated': ['conflict', 'Trip is already rated'],
  'trip.payment_declined': ['conflict', "The rider's card was declined and the trip has ended"],
  'payment.debt_outstanding': ['conflict', 'An earlier trip is not paid yet'],
  'quote.not_found': ['not_found', 'Quote not found'],
  'quote.expired': ['conflict', 'Quote has expired'],
  'quote.used': ['conflict', 'Quote is already used'],
});

export function throwTripNotFound(): never {
  throw tripProblem('trip.not_found');
}
