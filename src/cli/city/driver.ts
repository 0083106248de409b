import type { Product, Vehicle } from '@contracts/drivers.ts';
import type { DriverId, TripId } from '@contracts/ids.ts';
import type { Trip } from '@contracts/trips.ts';
import type { Random } from '@platform/random.ts';
import type { Cab, DriverMode } from './cab.ts';
import { checkEarnings } from './driver-earnings.ts';
import { waitForTurn } from './driver-idle.ts';
import { answerOffer, vanish } from './driver-offer.ts';
import { serveTrip } from './driver-trip.ts';
import { createMotion } from './motion.ts';
import type { Person } from './person.ts';
import { createReporter } from './reporter.ts';
import { noteRefusal, type World } from './world.ts';

export interface Driver {
  id: DriverId;
  mode(): DriverMode;
  /** The trip that they drive. */
  serving(): TripId | undefined;
  /** Loses the phone: sends nothing and hears nothing any more. */
  silence(): void;
  /** Drives until the city closes, then goes offline. */
  work(): Promise<void>;
  /** Looks at the account: the fare of every completed ride must be there, once. */
  checkEarnings(): Promise<void>;
}

/** A driver who is on duty: vehicle, status, position, live connection. Undefined when the server would not have it. */
export async function startDriver(
  world: World,
  person: Person,
  index: number,
  product: Product,
  random: Random,
): Promise<Driver | undefined> {
  const driver = await person.client.setVehicle(vehicleOf(product, index));
  if (!driver.ok) return refused(world, driver);
  // Positions are taken only from drivers who are not offline.
  const status = await person.client.setStatus('available');
  if (!status.ok) return refused(world, status);
  const motion = createMotion(world.clock, world.behaviour.timeScale, product, world.demand.spot(random));
  const isAwake = () => cab.mode === 'idle' || cab.mode === 'on_trip';
  const reporter = createReporter(world, person, motion, random, isAwake);
  const id = driver.value.id;
  const nothing = { serving: undefined, pending: undefined, isSilent: false } as const;
  const beginning = { mode: 'idle', completed: new Set<TripId>(), ...nothing } as const;
  const cab: Cab = { id, world, person, motion, reporter, random, ...beginning };
  await reporter.now();
  await person.live.open();
  return {
    id,
    mode: () => cab.mode,
    serving: () => cab.serving,
    silence: () => silence(cab),
    work: () => work(cab),
    checkEarnings: () => checkEarnings(cab),
  };
}

function refused(world: World, refusal: Parameters<typeof noteRefusal>[1]): undefined {
  noteRefusal(world, refusal, false);
}

async function work(cab: Cab): Promise<void> {
  const { closing } = cab.world;
  const reporting = cab.reporter.run(closing);
  while (!closing.aborted && !cab.isSilent) await act(cab);
  await reporting;
  await goOffDuty(cab);
}

/** idle ─ offer accepted ▶ on_trip ▶ idle; idle ─ offer ignored, or just so ▶ dark ▶ idle */
async function act(cab: Cab): Promise<void> {
  const turn = await waitForTurn(cab);
  switch (turn.kind) {
    case 'closing':
      return;
    case 'vanish':
      return vanish(cab);
    case 'found':
      return serve(cab, turn.trip);
    case 'offer': {
      const trip = await answerOffer(cab, turn.offer);
      if (trip !== undefined) await serve(cab, trip);
    }
  }
}

async function serve(cab: Cab, trip: Trip): Promise<void> {
  cab.mode = 'on_trip';
  cab.serving = trip.id;
  await serveTrip(cab, trip);
  if (cab.serving === undefined) await returnToWork(cab);
  cab.serving = undefined;
  if (!cab.world.closing.aborted) cab.mode = 'idle';
}

/** They may have been signed out when they lost the trip. */
async function returnToWork({ world, person }: Cab): Promise<void> {
  const status = await person.client.setStatus('available');
  if (!status.ok) noteRefusal(world, status, false);
}

function silence(cab: Cab): void {
  cab.isSilent = true;
  cab.person.client.silence();
  void cab.person.live.close();
}

const offDutyAttempts = 10;
const offDutyPauseMs = 1_000;

async function goOffDuty(cab: Cab): Promise<void> {
  // With a rider on board who is not of this city, the server rightly keeps the driver on duty.
  const isOnTrip = cab.mode === 'on_trip';
  cab.mode = 'away';
  await Promise.all([cab.person.live.close(), goOffline(cab, isOnTrip)]);
}

async function goOffline({ world, person }: Cab, isOnTrip: boolean): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const status = await person.client.setStatus('offline');
    if (status.ok) return;
    // The end of the last trip may not have reached the driver context yet.
    const isLagging = status.status === 409 && !isOnTrip && attempt < offDutyAttempts;
    if (!isLagging || world.signal.aborted) return noteRefusal(world, status, isOnTrip);
    await world.clock.sleep(offDutyPauseMs, world.signal);
  }
}

const models: Record<Product, readonly string[]> = {
  bike: ['Honda Wave', 'Honda Vision', 'Yamaha Sirius', 'VinFast Feliz'],
  car: ['Toyota Vios', 'Hyundai Accent', 'VinFast VF 5', 'Kia Morning'],
  car_xl: ['Toyota Innova', 'Mitsubishi Xpander', 'VinFast VF 9'],
};
const colours = ['white', 'silver', 'black', 'red', 'blue'];

function vehicleOf(product: Product, index: number): Vehicle {
  const model = models[product][index % models[product].length] ?? 'unknown';
  const plate = `51${String.fromCharCode(65 + (index % 26))}-${String(10_000 + index).slice(-5)}`;
  return { product, plate, model, colour: colours[index % colours.length] ?? 'white' };
}
