/** Tracks that are kept apart at most. A driver whose points are scattered everywhere loses most of them. */
export const plausibleTracksMax = 4;

/**
 * Splits points, given in order of time, into plausible tracks: in each track, every point can be reached from
 * the point before it. The most likely track comes first: the one with the most points, and of two equally
 * long ones the one that ends later. A point belongs to at most one track.
 *
 * An outlier thus becomes a track of its own and costs one point, whether it comes first, last or in between.
 * Of two distant clusters, the larger one is believed. Each point is compared with the ends of at most
 * `plausibleTracksMax` tracks.
 */
export function plausibleTracks<Point>(
  points: readonly Point[],
  canReach: (from: Point, to: Point) => boolean,
): Point[][] {
  const tracks: Track<Point>[] = [];
  let index = 0;
  for (const point of points) {
    index++;
    let likeliest: Track<Point> | undefined;
    for (const track of tracks)
      if (isLikelier(track, likeliest) && canReach(track.end, point)) likeliest = track;
    if (likeliest === undefined) {
      if (tracks.length === plausibleTracksMax) tracks.splice(tracks.indexOf(leastLikely(tracks)), 1);
      tracks.push({ points: [point], end: point, endIndex: index });
    } else {
      likeliest.points.push(point);
      likeliest.end = point;
      likeliest.endIndex = index;
    }
  }
  return tracks.sort((a, b) => (isLikelier(a, b) ? -1 : 1)).map(({ points: trackPoints }) => trackPoints);
}

interface Track<Point> {
  points: Point[];
  end: Point;
  endIndex: number;
}

function isLikelier<Point>(track: Track<Point>, other: Track<Point> | undefined): boolean {
  if (other === undefined) return true;
  if (track.points.length !== other.points.length) return track.points.length > other.points.length;
  return track.endIndex > other.endIndex;
}

const leastLikely = <Point>(tracks: Track<Point>[]): Track<Point> =>
  tracks.reduce((least, track) => (isLikelier(least, track) ? track : least));
