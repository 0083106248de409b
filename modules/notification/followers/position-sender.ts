import { formatTimestamp } from '@contracts/common.ts';
import type { LatLng } from '@contracts/geo.ts';
import type { DriverId, TripId } from '@contracts/ids.ts';
import type { PositionFrame } from '@contracts/realtime.ts';
import type { TransientFrames } from '../fanout/fanout.ts';
import { encodeFrame } from '../live/frames.ts';
import type { TripFollowers } from './trip-followers.ts';

export interface FollowedPosition {
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
export function createPositionSender({ rides, signals }: { rides: TripFollowers; signals: TransientFrames }) {
  return {
    async sendPositions(moves: readonly FollowedPosition[]): Promise<void> {
      const moveOf = new Map(moves.map((move) => [move.driverId, move]));
      const found = await rides.find([...moveOf.keys()]);
      const all = found.flatMap(({ driverId, tripId, riderId }) => {
        const move = moveOf.get(driverId);
        if (move === undefined) return [];
        return [{ personId: riderId, text: encodeFrame(positionFrame(tripId, move)) }];
      });
      if (all.length > 0) await signals.send(all);
    },
  };
}

/** What the phone did not tell is left out. */
function positionFrame(tripId: TripId, move: FollowedPosition): PositionFrame {
  const { point, recordedAtMs, headingDegrees, speedMetresPerSecond } = move;
  return {
    type: 'position',
    tripId,
    ...point,
    recordedAt: formatTimestamp(recordedAtMs),
    ...(headingDegrees === undefined ? {} : { headingDegrees }),
    ...(speedMetresPerSecond === undefined ? {} : { speedMetresPerSecond }),
  };
}
