import type { Product, Vehicle } from '@contracts/drivers.ts';
import type { DriverId, TripId } from '@contracts/ids.ts';
import type { Trip } from '@contracts/trips.ts';
import type { Random } from '@platform/random.ts';
import { type CityContext, countFailure } from './city-context.ts';
import { checkEarnings } from './driver-earnings.ts';
import { waitForWork } from './driver-idle.ts';
import { answerOffer, goDark } from './driver-offer.ts';
import type { DriverMode, DriverState } from './driver-state.ts';
import { driveTrip } from './driver-trip.ts';
import { createMotion } from './motion.ts';
import type { CityPerson } from './person.ts';
import { createPositionReporter } from './position-reporter.ts';

export interface CityDriver {
  id: DriverId;
  mode(): DriverMode;
  /** The trip that they drive. */
  currentTripId(): TripId | undefined;
  /** Loses the phone: sends nothing and hears nothing any more. */
  disconnect(): void;
  /** Drives until the city closes, then goes offline. */
  run(): Promise<void>;
  /** Looks at the account: the fare of every completed ride must be there, once. */
  checkEarnings(): Promise<void>;
}

/** A driver who is on duty: vehicle, status, position, live connection. Undefined when the server would not have it. */
export async function startCityDriver(
  world: CityContext,
  person: CityPerson,
  index: number,
  product: Product,
  random: Random,
): Promise<CityDriver | undefined> {
  const driver = await person.client.setVehicle(vehicleOf(product, index));
  if (!driver.ok) return refused(world, driver);
  // Positions are taken only from drivers who are not offline.
  const status = await person.client.setStatus('available');
  if (!status.ok) return refused(world, status);
  const motion = createMotion(
    world.clock,
    world.behaviour.timeScale,
    product,
    world.demand.randomPoint(random),
  );
  const isAwake = () => cab.mode === 'idle' || cab.mode === 'on_trip';
  const reporter = createPositionReporter(world, person, motion, random, isAwake);
  const id = driver.value.id;
  const nothing = { currentTripId: undefined, pendingOffer: undefined, isDisconnected: false } as const;
  const beginning = { mode: 'idle', completed: new Set<TripId>(), ...nothing } as const;
  const cab: DriverState = { id, world, person, motion, reporter, random, ...beginning };
  await reporter.reportNow();
  await person.live.open();
  return {
    id,
    mode: () => cab.mode,
    currentTripId: () => cab.currentTripId,
    disconnect: () => silence(cab),
    run: () => work(cab),
    checkEarnings: () => checkEarnings(cab),
  };
}

function refused(world: CityContext, refusal: Parameters<typeof countFailure>[1]): undefined {
  countFailure(world, refusal, false);
}

async function work(cab: DriverState): Promise<void> {
  const { closing } = cab.world;
  const reporting = cab.reporter.run(closing);
  while (!closing.aborted && !cab.isDisconnected) await act(cab);
  await reporting;
  await goOffDuty(cab);
}

/** idle ─ offer accepted ▶ on_trip ▶ idle; idle ─ offer ignored, or just so ▶ dark ▶ idle */
async function act(cab: DriverState): Promise<void> {
  const turn = await waitForWork(cab);
  switch (turn.kind) {
    case 'closing':
      return;
    case 'vanish':
      return goDark(cab);
    case 'found':
      return serve(cab, turn.trip);
    case 'offer': {
      const trip = await answerOffer(cab, turn.offer);
      if (trip !== undefined) await serve(cab, trip);
    }
  }
}

async function serve(cab: DriverState, trip: Trip): Promise<void> {
  cab.mode = 'on_trip';
  cab.currentTripId = trip.id;
  await driveTrip(cab, trip);
  if (cab.currentTripId === undefined) await returnToWork(cab);
  cab.currentTripId = undefined;
  if (!cab.world.closing.aborted) cab.mode = 'idle';
}

/** They may have been signed out when they lost the trip. */
async function returnToWork({ world, person }: DriverState): Promise<void> {
  const status = await person.client.setStatus('available');
  if (!status.ok) countFailure(world, status, false);
}

function silence(cab: DriverState): void {
  cab.isDisconnected = true;
  cab.person.client.silence();
  void cab.person.live.close();
}

const offDutyAttempts = 10;
const offDutyPauseMs = 1_000;

async function goOffDuty(cab: DriverState): Promise<void> {
  // With a rider on board who is not of this city, the server rightly keeps the driver on duty.
  const isOnTrip = cab.mode === 'on_trip';
  cab.mode = 'away';
  await Promise.all([cab.person.live.close(), goOffline(cab, isOnTrip)]);
}

async function goOffline({ world, person }: DriverState, isOnTrip: boolean): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const status = await person.client.setStatus('offline');
    if (status.ok) return;
    // The end of the last trip may not have reached the driver context yet.
    const isLagging = status.status === 409 && !isOnTrip && attempt < offDutyAttempts;
    if (!isLagging || world.signal.aborted) return countFailure(world, status, isOnTrip);
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
