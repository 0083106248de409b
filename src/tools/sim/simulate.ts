import { findViolations } from './checks.ts';
import { truncateDatabases } from './databases.ts';
import type { InjectedFault } from './faults.ts';
import { createRunHistory } from './history.ts';
import { type Databases, simServices } from './instances.ts';
import { runDriver } from './people/driver.ts';
import { runOperator } from './people/operator.ts';
import { createOutOfBand } from './people/out-of-band.ts';
import { createSimPerson, type SimPerson } from './people/person.ts';
import { openPhone } from './people/phone.ts';
import { runRider } from './people/rider.ts';
import { type PlantedBug, plantedBugs } from './planted-bugs.ts';
import { createSimWorld, type SimWorld } from './world.ts';

export interface SeedRunOptions {
  seed: number;
  databases: Databases;
  /** Exactly these faults, by id: a run of the same seed with fewer. */
  only?: ReadonlySet<string> | undefined;
  planted?: PlantedBug | undefined;
}

export interface SeedRun {
  seed: number;
  violations: string[];
  faults: readonly InjectedFault[];
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
export async function simulate({ seed, databases, only, planted }: SeedRunOptions): Promise<SeedRun> {
  await truncateDatabases(databases);
  const bug = planted === undefined ? undefined : plantedBugs[planted];
  const world = createSimWorld({ seed, databases, only, planted: bug });
  const { scheduler, plan } = world;
  const lived = populate(world);

  await scheduler.run(harmMs, () => false);
  plan.stopInjecting();
  scheduler.recordTrace('healed: nothing strikes from now on');
  const rested = await rest(world, () => lived.ridersDone === riders);
  if (!rested) lived.history.recordViolation(`no rest within ${healedMsMax / 1000} s after the faults`);
  const violations = await findViolations({ ...lived, world });
  for (const violation of violations) scheduler.recordTrace(`VIOLATION ${violation}`);
  return {
    seed,
    violations,
    faults: plan.injected,
    trace: scheduler.trace,
    traceHash: new Bun.CryptoHasher('sha256').update(scheduler.trace.join('\n')).digest('hex').slice(0, 16),
    simulatedMs: harmMs,
    steps: scheduler.stepCount(),
    trips: lived.street.trips.length,
  };
}

function populate(world: SimWorld) {
  const history = createRunHistory();
  const street = createOutOfBand();
  const phoned = (person: SimPerson) => ({ person, phone: openPhone(person) });
  const lived = { history, street, ridersDone: 0, people: [] as ReturnType<typeof phoned>[] };
  const begin = (person: SimPerson, live: () => Promise<unknown>) =>
    world.scheduler.schedule(0, person.scope, () => {
      live().catch((error: unknown) =>
        history.recordViolation(`${person.scope.name} is at a loss: ${String(error)}`),
      );
    });
  for (let n = 0; n < drivers; n++) {
    const one = phoned(createSimPerson(world, 'driver', `driver ${n + 1}`, history));
    lived.people.push(one);
    begin(one.person, () => runDriver(one.person, one.phone, street));
  }
  for (let n = 0; n < riders; n++) {
    const one = phoned(createSimPerson(world, 'rider', `rider ${n + 1}`, history));
    lived.people.push(one);
    begin(one.person, () => runRider(one.person, street, tripsEach).then(() => void lived.ridersDone++));
  }
  const operator = createSimPerson(world, 'ops', 'operator', history);
  begin(operator, () => runOperator(operator, street));
  return lived;
}

/** Lets time pass until everybody is done, nobody is stopped, and nothing has been under way for a while. */
async function rest(world: SimWorld, isDone: () => boolean): Promise<boolean> {
  const { scheduler, broker } = world;
  const endMs = scheduler.nowMs() + healedMsMax;
  while (scheduler.nowMs() < endMs) {
    await scheduler.run(2_000, () => false);
    if (isDone() && world.isEveryInstanceLive() && broker.isQuiet()) {
      await scheduler.run(quietMs, () => false);
      if (broker.isQuiet() && (await heldDrivers(world)) === 0) return true;
    }
  }
  return false;
}

/** A hold whose release was lost ends by its time, up to 25 s later: until then the system is not at rest. */
async function heldDrivers({ databases }: SimWorld): Promise<number> {
  const [found] = await databases.driver.primary<{ held: number }[]>`
    select count(*)::int as held from drivers where status = 'held'`;
  return found?.held ?? 0;
}

export { simServices };
