import type { DriverId, PersonId, TripId } from '@contracts/ids.ts';
import type { Money } from '@contracts/money.ts';
import type { Receipt } from '@contracts/payments.ts';
import type { Trip, TripHistoryEntry, TripStatus } from '@contracts/trips.ts';
import { assignedInterval, findHistoryErrors, type Interval, overlapMs } from './trip-rules.ts';

/** A violated guarantee of the system, as seen by a client. */
export interface Violation {
  rule: ViolationRule;
  tripId: TripId | null;
  detail: string;
}
export type ViolationRule =
  | 'seq_gap'
  | 'event_twice'
  | 'two_drivers'
  | 'version_backwards'
  | 'history'
  | 'not_ended'
  | 'not_captured'
  | 'receipt_total'
  | 'earnings'
  | 'driver_busy_twice'
  | 'acknowledged_lost'
  | 'views_differ'
  | 'idempotency'
  | 'seen_by_stranger'
  | 'late_accept';

/** The fields of a trip that reads and live events have in common. */
export interface ObservedTrip {
  tripId: TripId;
  version: number;
  status: TripStatus;
  driverId: DriverId | null;
}

interface TripRecord {
  drivers: Set<DriverId>;
  /** The highest version that each person has seen. */
  known: Map<PersonId, number>;
  finals: Map<'rider' | 'driver', Trip>;
}

export interface Observations {
  readonly violations: readonly Violation[];
  addViolation(rule: ViolationRule, tripId: TripId | null, detail: string): void;
  /** The highest version that `viewer` has seen. A read that starts now must not return a lower one. */
  knownVersion(viewer: PersonId, tripId: TripId): number;
  /** Records a trip as `viewer` saw it. `versionMin` is the known version before a read; events may be late and have none. */
  recordTrip(viewer: PersonId, view: ObservedTrip, versionMin?: number): void;
  /** Records how the trip ended for its rider or driver. Both must agree. */
  recordEnd(by: 'rider' | 'driver', trip: Trip): void;
  checkHistory(trip: Trip, items: TripHistoryEntry[]): void;
  checkReceipt(trip: Trip, quoted: Money, receipt: Receipt): void;
}

const violationsMax = 500;
// An endless city drops old trips and shifts; a run of a few thousand trips keeps all of them.
const tripsMax = 20_000;
const intervalsPerDriverMax = 50;
// History entries carry the clock of the process that made the transition. Clocks may differ by this much.
const clockToleranceMs = 1_000;

export function createObservations(): Observations {
  const violations: Violation[] = [];
  const trips = new Map<TripId, TripRecord>();
  const shifts = new Map<DriverId, (Interval & { tripId: TripId })[]>();

  function addViolation(rule: ViolationRule, tripId: TripId | null, detail: string) {
    if (violations.length < violationsMax) violations.push({ rule, tripId, detail });
  }

  function recordOf(tripId: TripId): TripRecord {
    const existing = trips.get(tripId);
    if (existing !== undefined) return existing;
    const created: TripRecord = { drivers: new Set(), known: new Map(), finals: new Map() };
    trips.set(tripId, created);
    const [oldest] = trips.keys();
    if (trips.size > tripsMax && oldest !== undefined) trips.delete(oldest);
    return created;
  }

  function recordDriver(tripId: TripId, driverId: DriverId) {
    const { drivers } = recordOf(tripId);
    if (drivers.has(driverId)) return;
    drivers.add(driverId);
  }

  function recordShift(driverId: DriverId, tripId: TripId, interval: Interval) {
    const others = shifts.get(driverId) ?? [];
    if (others.some((other) => other.tripId === tripId)) return;
    for (const other of others) {
      const sharedMs = overlapMs(interval, other);
      if (sharedMs <= clockToleranceMs) continue;
      addViolation(
        'driver_busy_twice',
        tripId,
        `driver ${driverId} also had ${other.tripId} for ${sharedMs} ms`,
      );
    }
    shifts.set(driverId, [...others, { ...interval, tripId }].slice(-intervalsPerDriverMax));
  }

  return {
    violations,
    addViolation,
    knownVersion: (viewer, tripId) => trips.get(tripId)?.known.get(viewer) ?? 0,
    recordTrip(viewer, view, versionMin = 0) {
      const { known } = recordOf(view.tripId);
      if (view.version < versionMin)
        addViolation(
          'version_backwards',
          view.tripId,
          `read version ${view.version} after ${versionMin} was known`,
        );
      known.set(viewer, Math.max(known.get(viewer) ?? 0, view.version));
      if (view.driverId !== null) recordDriver(view.tripId, view.driverId);
    },
    recordEnd(by, trip) {
      const { finals } = recordOf(trip.id);
      finals.set(by, trip);
      const [rider, driver] = [finals.get('rider'), finals.get('driver')];
      if (rider === undefined || driver === undefined) return;
      for (const difference of differences(rider, driver)) addViolation('views_differ', trip.id, difference);
    },
    checkHistory(trip, items) {
      for (const fault of findHistoryErrors(items, trip.status, trip.version))
        addViolation('history', trip.id, fault);
      // Each search assigns one driver. A second driver is possible only after the first was replaced.
      const drivers = [...recordOf(trip.id).drivers];
      const assignments = items.filter(({ to }) => to === 'assigned').length;
      if (drivers.length > assignments)
        addViolation('two_drivers', trip.id, `assigned ${assignments} times, to ${drivers.join(' and ')}`);
      const interval = assignedInterval(items);
      const driverId = drivers.at(-1);
      if (interval !== undefined && driverId !== undefined) recordShift(driverId, trip.id, interval);
    },
    checkReceipt(trip, quoted, receipt) {
      const linesMinor = receipt.lines.reduce((sum, line) => sum + line.amountMinor, 0);
      // A ride that is shorter than quoted costs less.
      if (receipt.total.currency !== quoted.currency || receipt.total.amountMinor > quoted.amountMinor)
        addViolation(
          'receipt_total',
          trip.id,
          `quoted ${formatMoney(quoted)}, the receipt total is ${formatMoney(receipt.total)}`,
        );
      if (linesMinor !== receipt.total.amountMinor)
        addViolation(
          'receipt_total',
          trip.id,
          `the lines sum up to ${linesMinor}, the total is ${formatMoney(receipt.total)}`,
        );
    },
  };
}

const formatMoney = (money: Money): string => `${money.amountMinor} ${money.currency}`;
const sameMoney = (a: Money, b: Money): boolean =>
  a.amountMinor === b.amountMinor && a.currency === b.currency;

function differences(rider: Trip, driver: Trip): string[] {
  const differing: string[] = [];
  for (const key of ['status', 'version', 'endedBy', 'reason'] as const)
    if (rider[key] !== driver[key])
      differing.push(`${key}: the rider reads ${rider[key]}, the driver ${driver[key]}`);
  if (rider.vehicle?.plate !== driver.vehicle?.plate)
    differing.push(`vehicle: the rider reads ${rider.vehicle?.plate}, the driver ${driver.vehicle?.plate}`);
  if (!sameMoney(rider.fare, driver.fare))
    differing.push(
      `fare: the rider reads ${formatMoney(rider.fare)}, the driver ${formatMoney(driver.fare)}`,
    );
  return differing;
}
