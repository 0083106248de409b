import type { Person } from './client.ts';
import type { Phone, Told } from './phone.ts';
import type { Street } from './street.ts';

/** Where the phone is: lost for a while, in some rides, longer than a rider must wait for it. */
interface Pocket {
  silentUntilMs: number;
}

const silentMs = 75_000;
const positionsEveryMs = { least: 6_000, most: 9_000 };

/** At work from the start; answers offers, drives, and sends positions all along. */
export async function liveAsDriver(person: Person, phone: Phone, street: Street): Promise<void> {
  const vehicle = { product: 'car', plate: `51A-${person.id.slice(-3)}`, model: 'Vios', colour: 'white' };
  await person.insist('PUT', '/v1/drivers/me/vehicle', { body: vehicle });
  await person.insist('PUT', '/v1/drivers/me/status', { body: { status: 'available' } });
  const pocket: Pocket = { silentUntilMs: 0 };
  void sendPositions(person, street, pocket);
  for (let read = 0; ; read++) {
    await phone.more(read);
    const one = phone.told[read];
    if (one?.event === 'trip.offered') await answer(person, street, pocket, one);
  }
}

async function sendPositions(person: Person, street: Street, pocket: Pocket): Promise<never> {
  for (;;) {
    if (pocket.silentUntilMs <= person.clock.nowMs())
      await person.ask('PUT', '/v1/drivers/me/location', { body: street.point(person.random) });
    await person.pause(positionsEveryMs.least, positionsEveryMs.most);
  }
}

async function answer(person: Person, street: Street, pocket: Pocket, { data }: Told): Promise<void> {
  const tripId = String(data.tripId);
  if (Date.parse(String(data.offerExpiresAt)) < person.clock.nowMs()) return;
  if (await signsOut(person)) return;
  await meetMishap(person, 'asked');
  await person.pause(100, 2_500);
  if (person.chance(0.1)) return;
  if (person.chance(0.15)) {
    await person.insist('POST', `/v1/trips/${tripId}/decline`, {
      action: { kind: 'decline', tripId },
      body: {},
    });
    return;
  }
  const accepted = await person.insist('POST', `/v1/trips/${tripId}/accept`, {
    action: { kind: 'accept', tripId },
  });
  if (accepted.status === 200) await drive(person, street, pocket, tripId);
}

async function drive(person: Person, street: Street, pocket: Pocket, tripId: string): Promise<void> {
  const step = async (kind: 'arrive' | 'start' | 'complete' | 'cancel', body?: unknown) => {
    await person.pause(500, 3_500);
    const asked = { action: { kind, tripId }, ...(body === undefined ? {} : { body }) };
    const { status } = await person.insist('POST', `/v1/trips/${tripId}/${kind}`, asked);
    return status === 200;
  };
  await meetMishap(person, 'assigned');
  if (person.chance(0.08)) return void (await step('cancel', { reason: 'flat tyre' }));
  if (!(await step('arrive'))) return;
  await meetMishap(person, 'arrived');
  if (!(await step('start', { code: street.codes.get(tripId) ?? '0000' }))) return;
  await meetMishap(person, 'in progress');
  if (person.chance(0.1)) {
    pocket.silentUntilMs = person.clock.nowMs() + silentMs;
    await person.clock.sleep(silentMs);
  }
  await step('complete');
}

/** Falls silent for good, or is banned without knowing it yet. */
async function meetMishap({ world, scope, ...person }: Person, stage: string): Promise<void> {
  const where = `${scope.name}: ${stage}`;
  if (world.plan.strikes('driver.banned', where)) world.sessions.end(person, 'banned');
  if (world.plan.strikes('driver.silent', where) === undefined) return;
  world.scheduler.kill(scope);
  await new Promise(() => undefined);
}

/** Logs out instead of answering, and is back after a while. */
async function signsOut(person: Person): Promise<boolean> {
  const { world, scope } = person;
  if (world.plan.strikes('driver.signed_out', `${scope.name}: asked`) === undefined) return false;
  world.sessions.end(person, 'logout');
  await person.pause(2_000, 9_000);
  person.session++;
  await person.insist('PUT', '/v1/drivers/me/status', { body: { status: 'available' } });
  return true;
}
