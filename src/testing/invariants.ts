export { type TripInvariantOptions, tripInvariants } from '../invariants/trips.ts';
