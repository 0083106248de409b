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
import { cityProducts } from './products.ts';

export interface CityDriver {
  id: DriverId;
  mode(): DriverMode;
  /** The trip that the driver serves. */
  currentTripId(): TripId | undefined;
  /** Simulates a lost phone: nothing is sent or received any more. */
  disconnect(): void;
  /** Works until the city closes, then goes offline. */
  run(): Promise<void>;
  /** Checks that every completed trip is credited exactly once. */
  checkEarnings(): Promise<void>;
}

/** Sets up an available driver with vehicle, status, position and live connection. Undefined if the server rejects a step. */
export async function startCityDriver(
  context: CityContext,
  person: CityPerson,
  index: number,
  product: Product,
  random: Random,
): Promise<CityDriver | undefined> {
  const driver = await person.client.setVehicle(vehicleOf(product, index));
  if (!driver.ok) return rejected(context, driver);
  // The server accepts positions only from drivers who are not offline.
  const status = await person.client.setStatus('available');
  if (!status.ok) return rejected(context, status);
  const motion = createMotion(
    context.clock,
    context.behaviour.timeScale,
    product,
    context.demand.randomPoint(random),
  );
  const isAwake = () => state.mode === 'idle' || state.mode === 'on_trip';
  const reporter = createPositionReporter(context, person, motion, random, isAwake);
  const id = driver.value.id;
  const initialTask = { currentTripId: undefined, pendingOffer: undefined, isDisconnected: false } as const;
  const initialState = { mode: 'idle', completed: new Set<TripId>(), ...initialTask } as const;
  const state: DriverState = { id, context, person, motion, reporter, random, ...initialState };
  await reporter.reportNow();
  await person.live.open();
  return {
    id,
    mode: () => state.mode,
    currentTripId: () => state.currentTripId,
    disconnect: () => disconnect(state),
    run: () => work(state),
    checkEarnings: () => checkEarnings(state),
  };
}

function rejected(context: CityContext, failure: Parameters<typeof countFailure>[1]): undefined {
  countFailure(context, failure, false);
}

async function work(state: DriverState): Promise<void> {
  const { closing } = state.context;
  const reporting = state.reporter.run(closing);
  while (!closing.aborted && !state.isDisconnected) await doNextTask(state);
  await reporting;
  await goOffDuty(state);
}

/** idle ─ offer accepted ▶ on_trip ▶ idle; idle ─ offer ignored, or by chance ▶ dark ▶ idle */
async function doNextTask(state: DriverState): Promise<void> {
  const outcome = await waitForWork(state);
  switch (outcome.kind) {
    case 'closing':
      return;
    case 'vanish':
      return goDark(state);
    case 'found':
      return serve(state, outcome.trip);
    case 'offer': {
      const trip = await answerOffer(state, outcome.offer);
      if (trip !== undefined) await serve(state, trip);
    }
  }
}

async function serve(state: DriverState, trip: Trip): Promise<void> {
  state.mode = 'on_trip';
  state.currentTripId = trip.id;
  await driveTrip(state, trip);
  if (state.currentTripId === undefined) await returnToWork(state);
  state.currentTripId = undefined;
  if (!state.context.closing.aborted) state.mode = 'idle';
}

/** The server may have made the driver unavailable when it reassigned the trip. */
async function returnToWork({ context, person }: DriverState): Promise<void> {
  const status = await person.client.setStatus('available');
  if (!status.ok) countFailure(context, status, false);
}

function disconnect(state: DriverState): void {
  state.isDisconnected = true;
  state.person.client.disconnect();
  void state.person.live.close();
}

const offDutyAttempts = 10;
const offDutyPauseMs = 1_000;

async function goOffDuty(state: DriverState): Promise<void> {
  // With a rider on board who is not part of this city, the server rightly keeps the driver on the trip.
  const isOnTrip = state.mode === 'on_trip';
  state.mode = 'away';
  await Promise.all([state.person.live.close(), goOffline(state, isOnTrip)]);
}

async function goOffline({ context, person }: DriverState, isOnTrip: boolean): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const status = await person.client.setStatus('offline');
    if (status.ok) return;
    // The event of the last trip's end may not have reached the driver context yet.
    const mayRetry = status.status === 409 && !isOnTrip && attempt < offDutyAttempts;
    if (!mayRetry || context.signal.aborted) return countFailure(context, status, isOnTrip);
    await context.clock.sleep(offDutyPauseMs, context.signal);
  }
}

const colours = ['white', 'silver', 'black', 'red', 'blue'];

function vehicleOf(product: Product, index: number): Vehicle {
  const { models } = cityProducts[product];
  const model = models[index % models.length] ?? 'unknown';
  const plate = `51${String.fromCharCode(65 + (index % 26))}-${String(10_000 + index).slice(-5)}`;
  return { product, plate, model, colour: colours[index % colours.length] ?? 'white' };
}
