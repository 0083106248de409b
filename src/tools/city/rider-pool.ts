import { type CityContext, countFailure } from './city-context.ts';
import type { ConcurrencyLimit } from './concurrency.ts';
import { type CityPerson, createCityPerson } from './person.ts';
import type { CityRider } from './ride.ts';
import { startCityRider } from './rider.ts';

/** A pool of riders that enrols a new rider when none is free. */
export interface RiderPool {
  /** Enrols this many riders in advance. */
  enrol(riders: number, onEnrolled: () => void): Promise<void>;
  /** Undefined if nobody can be enrolled; the failure is counted. */
  acquire(): Promise<CityRider | undefined>;
  release(rider: CityRider): void;
  /** Another rider, who has no access to this rider's trips. */
  personOtherThan(owner: CityRider): CityPerson | undefined;
  all(): readonly CityRider[];
}

export function createRiderPool(context: CityContext, gate: ConcurrencyLimit): RiderPool {
  const allRiders: CityRider[] = [];
  const free: CityRider[] = [];
  let enrolled = 0;

  async function enrolOne(): Promise<CityRider | undefined> {
    const index = ++enrolled;
    const person = await createCityPerson(context, 'rider', index);
    if (!person.ok) {
      countFailure(context, person, false);
      return undefined;
    }
    const rider = await startCityRider(context, person.value, index);
    if (rider !== undefined) allRiders.push(rider);
    return rider;
  }

  return {
    async enrol(riders, onEnrolled) {
      const enrolFree = async () => {
        const rider = context.closing.aborted ? undefined : await enrolOne();
        if (rider !== undefined) free.push(rider);
        onEnrolled();
      };
      await Promise.all(Array.from({ length: riders }, () => gate.run(enrolFree)));
    },
    acquire: async () => free.shift() ?? gate.run(enrolOne),
    release: (rider) => free.push(rider),
    personOtherThan: (owner) => allRiders.find((rider) => rider !== owner)?.person,
    all: () => allRiders,
  };
}
