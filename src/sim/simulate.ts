import { violationsOf } from './checks.ts';
import type { Fault } from './faults.ts';
import { createHistory } from './history.ts';
import { type Databases, services } from './instances.ts';
import { createPerson, type Person } from './people/client.ts';
import { liveAsDriver } from './people/driver.ts';
import { liveAsOperator } from './people/operator.ts';
import { openPhone } from './people/phone.ts';
import { liveAsRider } from './people/rider.ts';
import { createStreet } from './people/street.ts';
import { type PlantedBug, plantedBugs } from './planted.ts';
import { emptyDatabases } from './schemas.ts';
import { createWorld, type World } from './world.ts';

export interface RunOptions {
  seed: number;
  databases: Databases;
  /** Exactly these faults, by id: a run of the same seed with fewer. */
  only?: ReadonlySet<string> | undefined;
  planted?: PlantedBug | undefined;
}

export interface Run {
  seed: number;
  violations: string[];
  faults: readonly Fault[];
  trace: readonly string[];
  /** The same for the same seed: every step of the run is in it. */
  traceHash: string;
  simulatedMs: number;
  steps: number;
  trips: number;
}

const riders = 3;
const drivers = 3;
const tripsEach = 2;
/** Faults strike for so long; then the system has time to come to rest. */
const harmMs = 30_000;
const healedMsMax = 180_000;
const quietMs = 8_000;

/** One run of the whole system by one seed: people, faults, healing, and what must hold afterwards. */
export async function simulate({ seed, databases, only, planted }: RunOptions): Promise<Run> {
  await emptyDatabases(databases);
  const bug = planted === undefined ? undefined : plantedBugs[planted];
  const world = createWorld({ seed, databases, only, planted: bug });
  const { scheduler, plan } = world;
  const lived = populate(world);

  await scheduler.run(harmMs, () => false);
  plan.heal();
  scheduler.note('healed: nothing strikes from now on');
  const rested = await rest(world, () => lived.ridersDone === riders);
  if (!rested) lived.history.violation(`no rest within ${healedMsMax / 1000} s after the faults`);
  const violations = await violationsOf({ ...lived, world });
  for (const violation of violations) scheduler.note(`VIOLATION ${violation}`);
  return {
    seed,
    violations,
    faults: plan.struck,
    trace: scheduler.trace,
    traceHash: new Bun.CryptoHasher('sha256').update(scheduler.trace.join('\n')).digest('hex').slice(0, 16),
    simulatedMs: harmMs,
    steps: scheduler.steps(),
    trips: lived.street.trips.length,
  };
}

function populate(world: World) {
  const history = createHistory();
  const street = createStreet();
  const phoned = (person: Person) => ({ person, phone: openPhone(person) });
  const lived = { history, street, ridersDone: 0, people: [] as ReturnType<typeof phoned>[] };
  const begin = (person: Person, live: () => Promise<unknown>) =>
    world.scheduler.after(0, person.scope, () => {
      live().catch((error: unknown) =>
        history.violation(`${person.scope.name} is at a loss: ${String(error)}`),
      );
    });
  for (let n = 0; n < drivers; n++) {
    const one = phoned(createPerson(world, 'driver', `driver ${n + 1}`, history));
    lived.people.push(one);
    begin(one.person, () => liveAsDriver(one.person, one.phone, street));
  }
  for (let n = 0; n < riders; n++) {
    const one = phoned(createPerson(world, 'rider', `rider ${n + 1}`, history));
    lived.people.push(one);
    begin(one.person, () => liveAsRider(one.person, street, tripsEach).then(() => void lived.ridersDone++));
  }
  const operator = createPerson(world, 'ops', 'operator', history);
  begin(operator, () => liveAsOperator(operator, street));
  return lived;
}

/** Lets time pass until everybody is done, nobody is stopped, and nothing has been under way for a while. */
async function rest(world: World, isDone: () => boolean): Promise<boolean> {
  const { scheduler, broker } = world;
  const endMs = scheduler.nowMs() + healedMsMax;
  while (scheduler.nowMs() < endMs) {
    await scheduler.run(2_000, () => false);
    if (isDone() && world.isAwake() && broker.isQuiet()) {
      await scheduler.run(quietMs, () => false);
      if (broker.isQuiet() && (await heldDrivers(world)) === 0) return true;
    }
  }
  return false;
}

/** A hold whose release was lost ends by its time, up to 25 s later: until then the system is not at rest. */
async function heldDrivers({ databases }: World): Promise<number> {
  const [found] = await databases.driver.primary<{ held: number }[]>`
    select count(*)::int as held from drivers where status = 'held'`;
  return found?.held ?? 0;
}

export { services };
