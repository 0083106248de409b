import type { OutOfBand } from './out-of-band.ts';
import type { SimPerson } from './person.ts';
import type { Phone, ReceivedEvent } from './phone.ts';

/** The driver's phone is silent for a while in some trips, longer than a rider must wait before they may end the trip. */
interface PhoneSilence {
  untilMs: number;
}

const silentMs = 75_000;
const positionsEveryMs = { min: 6_000, max: 9_000 };

/** A driver: works from the start, answers offers, drives, and sends positions all the time. */
export async function runDriver(person: SimPerson, phone: Phone, outOfBand: OutOfBand): Promise<void> {
  const vehicle = { product: 'car', plate: `51A-${person.id.slice(-3)}`, model: 'Vios', colour: 'white' };
  await person.requestUntilAnswered('PUT', '/v1/drivers/me/vehicle', { body: vehicle });
  await person.requestUntilAnswered('PUT', '/v1/drivers/me/status', { body: { status: 'available' } });
  const silence: PhoneSilence = { untilMs: 0 };
  void sendPositions(person, outOfBand, silence);
  for (let read = 0; ; read++) {
    await phone.waitForMore(read);
    const received = phone.events[read];
    if (received?.event === 'trip.offered') await answerOffer(person, outOfBand, silence, received);
  }
}

async function sendPositions(person: SimPerson, outOfBand: OutOfBand, silence: PhoneSilence): Promise<never> {
  for (;;) {
    if (silence.untilMs <= person.clock.nowMs())
      await person.request('PUT', '/v1/drivers/me/location', { body: outOfBand.randomPoint(person.random) });
    await person.pause(positionsEveryMs.min, positionsEveryMs.max);
  }
}

async function answerOffer(
  person: SimPerson,
  outOfBand: OutOfBand,
  silence: PhoneSilence,
  { data }: ReceivedEvent,
): Promise<void> {
  const tripId = String(data.tripId);
  if (Date.parse(String(data.offerExpiresAt)) < person.clock.nowMs()) return;
  if (await drawSignOut(person)) return;
  await drawMishap(person, 'asked');
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
  if (accepted.status === 200) await drive(person, outOfBand, silence, tripId);
}

async function drive(
  person: SimPerson,
  outOfBand: OutOfBand,
  silence: PhoneSilence,
  tripId: string,
): Promise<void> {
  const step = async (kind: 'arrive' | 'start' | 'complete' | 'cancel', body?: unknown) => {
    await person.pause(500, 3_500);
    const options = { action: { kind, tripId }, ...(body === undefined ? {} : { body }) };
    const { status } = await person.requestUntilAnswered('POST', `/v1/trips/${tripId}/${kind}`, options);
    return status === 200;
  };
  await drawMishap(person, 'assigned');
  if (person.isLikely(0.08)) return void (await step('cancel', { reason: 'flat tyre' }));
  if (!(await step('arrive'))) return;
  await drawMishap(person, 'arrived');
  if (!(await step('start', { code: outOfBand.startCodes.get(tripId) ?? '0000' }))) return;
  await drawMishap(person, 'in progress');
  if (person.isLikely(0.1)) {
    silence.untilMs = person.clock.nowMs() + silentMs;
    await person.clock.sleep(silentMs);
  }
  await step('complete');
}

/** May ban the driver, who does not know it yet, or silence them for the rest of the run. */
async function drawMishap({ world, scope, ...person }: SimPerson, stage: string): Promise<void> {
  const location = `${scope.name}: ${stage}`;
  if (world.plan.draw('driver.banned', location)) world.sessions.end(person, 'banned');
  if (world.plan.draw('driver.silent', location) === undefined) return;
  world.scheduler.kill(scope);
  await new Promise(() => undefined);
}

/** May sign the driver out instead of answering the offer; they return after a while. */
async function drawSignOut(person: SimPerson): Promise<boolean> {
  const { world, scope } = person;
  if (world.plan.draw('driver.signed_out', `${scope.name}: asked`) === undefined) return false;
  world.sessions.end(person, 'logout');
  await person.pause(2_000, 9_000);
  person.loginNumber++;
  await person.requestUntilAnswered('PUT', '/v1/drivers/me/status', { body: { status: 'available' } });
  return true;
}
