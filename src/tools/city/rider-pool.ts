import { type CityContext, countFailure } from './city-context.ts';
import type { ConcurrencyLimit } from './concurrency.ts';
import { type CityPerson, createCityPerson } from './person.ts';
import type { CityRider } from './ride.ts';
import { startCityRider } from './rider.ts';

/** Riders who are free come first; when none is, somebody new opens an account. */
export interface RiderPool {
  /** Enrols so many in advance. */
  enrol(riders: number, onEnrolled: () => void): Promise<void>;
  /** Undefined when nobody can be enrolled; the refusal is counted. */
  acquire(): Promise<CityRider | undefined>;
  release(rider: CityRider): void;
  /** Somebody else, who has no business with this rider's trips. */
  personOtherThan(than: CityRider): CityPerson | undefined;
  all(): readonly CityRider[];
}

export function createRiderPool(world: CityContext, gate: ConcurrencyLimit): RiderPool {
  const everybody: CityRider[] = [];
  const free: CityRider[] = [];
  let enrolled = 0;

  async function enrolOne(): Promise<CityRider | undefined> {
    const index = ++enrolled;
    const person = await createCityPerson(world, 'rider', index);
    if (!person.ok) {
      countFailure(world, person, false);
      return undefined;
    }
    const rider = await startCityRider(world, person.value, index);
    if (rider !== undefined) everybody.push(rider);
    return rider;
  }

  return {
    async enrol(riders, onEnrolled) {
      const one = async () => {
        const rider = world.closing.aborted ? undefined : await enrolOne();
        if (rider !== undefined) free.push(rider);
        onEnrolled();
      };
      await Promise.all(Array.from({ length: riders }, () => gate.run(one)));
    },
    acquire: async () => free.shift() ?? gate.run(enrolOne),
    release: (rider) => free.push(rider),
    personOtherThan: (than) => everybody.find((rider) => rider !== than)?.person,
    all: () => everybody,
  };
}
