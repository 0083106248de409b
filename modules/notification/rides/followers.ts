import { timestamp } from '@contracts/common.ts';
import type { LatLng } from '@contracts/geo.ts';
import type { DriverId, TripId } from '@contracts/ids.ts';
import type { PositionFrame } from '@contracts/realtime.ts';
import type { Signals } from '../fanout/fanout.ts';
import { frameText } from '../frames.ts';
import type { Rides } from './rides.ts';

export interface Move {
  driverId: DriverId;
  point: LatLng;
  recordedAtMs: number;
  headingDegrees?: number | undefined;
  speedMetresPerSecond?: number | undefined;
}

/**
 * Tells each rider where the driver of the ride under way is, and nobody else: a driver's position is
 * his own until a trip event says that somebody waits for him, and again when it says that it is over.
 */
export function createRideFollowers({ rides, signals }: { rides: Rides; signals: Signals }) {
  return {
    async moved(moves: readonly Move[]): Promise<void> {
      const moveOf = new Map(moves.map((move) => [move.driverId, move]));
      const found = await rides.find([...moveOf.keys()]);
      const all = found.flatMap(({ driverId, tripId, riderId }) => {
        const move = moveOf.get(driverId);
        if (move === undefined) return [];
        return [{ personId: riderId, text: frameText(positionFrame(tripId, move)) }];
      });
      if (all.length > 0) await signals.send(all);
    },
  };
}

/** What the phone did not tell is left out. */
function positionFrame(tripId: TripId, move: Move): PositionFrame {
  const { point, recordedAtMs, headingDegrees, speedMetresPerSecond } = move;
  return {
    type: 'position',
    tripId,
    ...point,
    recordedAt: timestamp(recordedAtMs),
    ...(headingDegrees === undefined ? {} : { headingDegrees }),
    ...(speedMetresPerSecond === undefined ? {} : { speedMetresPerSecond }),
  };
}
