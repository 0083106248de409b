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
 * Sends the position of a driver to the rider of the driver's active trip, and to nobody else. Followers come from
 * trip events: a rider follows from the assignment of the driver until the trip ends.
 */
export function createPositionSender({
  tripFollowers,
  transientFrames,
}: {
  tripFollowers: TripFollowers;
  transientFrames: TransientFrames;
}) {
  return {
    async sendPositions(positions: readonly FollowedPosition[]): Promise<void> {
      const positionByDriver = new Map(positions.map((position) => [position.driverId, position]));
      const followers = await tripFollowers.find([...positionByDriver.keys()]);
      const frames = followers.flatMap(({ driverId, tripId, riderId }) => {
        const position = positionByDriver.get(driverId);
        if (position === undefined) return [];
        return [{ personId: riderId, text: encodeFrame(positionFrame(tripId, position)) }];
      });
      if (frames.length > 0) await transientFrames.send(frames);
    },
  };
}

/** Values that the phone did not report are left out. */
function positionFrame(tripId: TripId, position: FollowedPosition): PositionFrame {
  const { point, recordedAtMs, headingDegrees, speedMetresPerSecond } = position;
  return {
    type: 'position',
    tripId,
    ...point,
    recordedAt: formatTimestamp(recordedAtMs),
    ...(headingDegrees === undefined ? {} : { headingDegrees }),
    ...(speedMetresPerSecond === undefined ? {} : { speedMetresPerSecond }),
  };
}
