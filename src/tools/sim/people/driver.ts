import type { OutOfBand } from './out-of-band.ts';
import type { SimPerson } from './person.ts';
import type { Phone, ReceivedEvent } from './phone.ts';

/** Where the phone is: lost for a while, in some rides, longer than a rider must wait for it. */
interface Pocket {
  silentUntilMs: number;
}

const silentMs = 75_000;
const positionsEveryMs = { least: 6_000, most: 9_000 };

/** At work from the start; answers offers, drives, and sends positions all along. */
export async function runDriver(person: SimPerson, phone: Phone, street: OutOfBand): Promise<void> {
  const vehicle = { product: 'car', plate: `51A-${person.id.slice(-3)}`, model: 'Vios', colour: 'white' };
  await person.requestUntilAnswered('PUT', '/v1/drivers/me/vehicle', { body: vehicle });
  await person.requestUntilAnswered('PUT', '/v1/drivers/me/status', { body: { status: 'available' } });
  const pocket: Pocket = { silentUntilMs: 0 };
  void sendPositions(person, street, pocket);
  for (let read = 0; ; read++) {
    await phone.waitForMore(read);
    const one = phone.events[read];
    if (one?.event === 'trip.offered') await answer(person, street, pocket, one);
  }
}

async function sendPositions(person: SimPerson, street: OutOfBand, pocket: Pocket): Promise<never> {
  for (;;) {
    if (pocket.silentUntilMs <= person.clock.nowMs())
      await person.request('PUT', '/v1/drivers/me/location', { body: street.randomPoint(person.random) });
    await person.pause(positionsEveryMs.least, positionsEveryMs.most);
  }
}

async function answer(
  person: SimPerson,
  street: OutOfBand,
  pocket: Pocket,
  { data }: ReceivedEvent,
): Promise<void> {
  const tripId = String(data.tripId);
  if (Date.parse(String(data.offerExpiresAt)) < person.clock.nowMs()) return;
  if (await signsOut(person)) return;
  await meetMishap(person, 'asked');
  await person.pause(100, 2_500);
  if (person.isLikely(0.1)) return;
  if (person.isLikely(0.15)) {
    await person.requestUntilAnswered('POST', `/v1/trips/${tripId}/decline`, {
      action: { kind: 'decline', tripId },
      body: {},
    });
    return;
  }
  const accepted = await person.requestUntilAnswered('POST', `/v1/trips/${tripId}/accept`, {
    action: { kind: 'accept', tripId },
  });
  if (accepted.status === 200) await drive(person, street, pocket, tripId);
}

async function drive(person: SimPerson, street: OutOfBand, pocket: Pocket, tripId: string): Promise<void> {
  const step = async (kind: 'arrive' | 'start' | 'complete' | 'cancel', body?: unknown) => {
    await person.pause(500, 3_500);
    const asked = { action: { kind, tripId }, ...(body === undefined ? {} : { body }) };
    const { status } = await person.requestUntilAnswered('POST', `/v1/trips/${tripId}/${kind}`, asked);
    return status === 200;
  };
  await meetMishap(person, 'assigned');
  if (person.isLikely(0.08)) return void (await step('cancel', { reason: 'flat tyre' }));
  if (!(await step('arrive'))) return;
  await meetMishap(person, 'arrived');
  if (!(await step('start', { code: street.startCodes.get(tripId) ?? '0000' }))) return;
  await meetMishap(person, 'in progress');
  if (person.isLikely(0.1)) {
    pocket.silentUntilMs = person.clock.nowMs() + silentMs;
    await person.clock.sleep(silentMs);
  }
  await step('complete');
}

/** Falls silent for good, or is banned without knowing it yet. */
async function meetMishap({ world, scope, ...person }: SimPerson, stage: string): Promise<void> {
  const where = `${scope.name}: ${stage}`;
  if (world.plan.draw('driver.banned', where)) world.sessions.end(person, 'banned');
  if (world.plan.draw('driver.silent', where) === undefined) return;
  world.scheduler.kill(scope);
  await new Promise(() => undefined);
}

/** Logs out instead of answering, and is back after a while. */
async function signsOut(person: SimPerson): Promise<boolean> {
  const { world, scope } = person;
  if (world.plan.draw('driver.signed_out', `${scope.name}: asked`) === undefined) return false;
  world.sessions.end(person, 'logout');
  await person.pause(2_000, 9_000);
  person.loginNumber++;
  await person.requestUntilAnswered('PUT', '/v1/drivers/me/status', { body: { status: 'available' } });
  return true;
}
