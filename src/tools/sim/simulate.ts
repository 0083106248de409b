import { findViolations } from './checks.ts';
import { truncateDatabases } from './databases.ts';
import type { InjectedFault } from './faults.ts';
import { createRunHistory } from './history.ts';
import type { Databases } from './instances.ts';
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
  /** Injects exactly these faults, by id: used to run a seed again with fewer faults. */
  only?: ReadonlySet<string> | undefined;
  planted?: PlantedBug | undefined;
}

export interface SeedRun {
  seed: number;
  violations: string[];
  faults: readonly InjectedFault[];
  trace: readonly string[];
  /** A hash of the trace, which contains every step: equal for runs of the same seed. */
  traceHash: string;
  simulatedMs: number;
  steps: number;
  trips: number;
}

const riders = 3;
const drivers = 3;
const tripsEach = 2;
/** Faults are injected for this long; then the system has time to finish its work. */
const faultsMs = 30_000;
const recoveryMsMax = 180_000;
const quietMs = 8_000;

/** Runs the whole system with one seed: people act, faults are injected and end, then the invariants are checked. */
export async function simulate({ seed, databases, only, planted }: SeedRunOptions): Promise<SeedRun> {
  await truncateDatabases(databases);
  const bug = planted === undefined ? undefined : plantedBugs[planted];
  const world = createSimWorld({ seed, databases, only, planted: bug });
  const { scheduler, plan } = world;
  const scenario = populate(world);

  await scheduler.run(faultsMs, () => false);
  plan.stopInjecting();
  scheduler.recordTrace('no more faults from now on');
  const isFinished = await waitUntilQuiet(world, () => scenario.ridersDone === riders);
  if (!isFinished)
    scenario.history.recordViolation(`work was still in flight ${recoveryMsMax / 1000} s after the faults`);
  const violations = await findViolations({ ...scenario, world });
  for (const violation of violations) scheduler.recordTrace(`VIOLATION ${violation}`);
  return {
    seed,
    violations,
    faults: plan.injected,
    trace: scheduler.trace,
    traceHash: new Bun.CryptoHasher('sha256').update(scheduler.trace.join('\n')).digest('hex').slice(0, 16),
    simulatedMs: faultsMs,
    steps: scheduler.stepCount(),
    trips: scenario.outOfBand.trips.length,
  };
}

function populate(world: SimWorld) {
  const history = createRunHistory();
  const outOfBand = createOutOfBand();
  const addPhone = (person: SimPerson) => ({ person, phone: openPhone(person) });
  const scenario = { history, outOfBand, ridersDone: 0, people: [] as ReturnType<typeof addPhone>[] };
  const start = (person: SimPerson, act: () => Promise<unknown>) =>
    world.scheduler.schedule(0, person.scope, () => {
      act().catch((error: unknown) =>
        history.recordViolation(`${person.scope.name} failed: ${String(error)}`),
      );
    });
  for (let n = 0; n < drivers; n++) {
    const participant = addPhone(createSimPerson(world, 'driver', `driver ${n + 1}`, history));
    scenario.people.push(participant);
    start(participant.person, () => runDriver(participant.person, participant.phone, outOfBand));
  }
  for (let n = 0; n < riders; n++) {
    const participant = addPhone(createSimPerson(world, 'rider', `rider ${n + 1}`, history));
    scenario.people.push(participant);
    start(participant.person, () =>
      runRider(participant.person, outOfBand, tripsEach).then(() => void scenario.ridersDone++),
    );
  }
  const operator = createSimPerson(world, 'ops', 'operator', history);
  start(operator, () => runOperator(operator, outOfBand));
  return scenario;
}

/** Runs until all people are done, no instance is paused, and nothing has been in flight for a while. */
async function waitUntilQuiet(world: SimWorld, isDone: () => boolean): Promise<boolean> {
  const { scheduler, broker } = world;
  const endMs = scheduler.nowMs() + recoveryMsMax;
  while (scheduler.nowMs() < endMs) {
    await scheduler.run(2_000, () => false);
    if (isDone() && world.isEveryInstanceLive() && broker.isQuiet()) {
      await scheduler.run(quietMs, () => false);
      if (broker.isQuiet() && (await countHeldDrivers(world)) === 0) return true;
    }
  }
  return false;
}

/** A hold whose release was lost expires up to 25 s later; until then work is still in flight. */
async function countHeldDrivers({ databases }: SimWorld): Promise<number> {
  const [found] = await databases.driver.primary<{ held: number }[]>`
    select count(*)::int as held from drivers where status = 'held'`;
  return found?.held ?? 0;
}
