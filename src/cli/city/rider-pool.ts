import type { Gate } from './crowd.ts';
import { createPerson, type Person } from './person.ts';
import type { Rider } from './ride.ts';
import { startRider } from './rider.ts';
import { noteRefusal, type World } from './world.ts';

/** Riders who are free come first; when none is, somebody new opens an account. */
export interface RiderPool {
  /** Enrols so many in advance. */
  prepare(riders: number, onEnrolled: () => void): Promise<void>;
  /** Undefined when nobody can be enrolled; the refusal is counted. */
  take(): Promise<Rider | undefined>;
  give(rider: Rider): void;
  /** Somebody else, who has no business with this rider's trips. */
  stranger(than: Rider): Person | undefined;
  all(): readonly Rider[];
}

export function createRiderPool(world: World, gate: Gate): RiderPool {
  const everybody: Rider[] = [];
  const free: Rider[] = [];
  let enrolled = 0;

  async function enrolOne(): Promise<Rider | undefined> {
    const index = ++enrolled;
    const person = await createPerson(world, 'rider', index);
    if (!person.ok) {
      noteRefusal(world, person, false);
      return undefined;
    }
    const rider = await startRider(world, person.value, index);
    if (rider !== undefined) everybody.push(rider);
    return rider;
  }

  return {
    async prepare(riders, onEnrolled) {
      const one = async () => {
        const rider = world.closing.aborted ? undefined : await enrolOne();
        if (rider !== undefined) free.push(rider);
        onEnrolled();
      };
      await Promise.all(Array.from({ length: riders }, () => gate.run(one)));
    },
    take: async () => free.shift() ?? gate.run(enrolOne),
    give: (rider) => free.push(rider),
    stranger: (than) => everybody.find((rider) => rider !== than)?.person,
    all: () => everybody,
  };
}
