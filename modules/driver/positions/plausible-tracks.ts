/** So many ways are told apart. Who sends points all over the place loses most of them. */
export const plausibleTracksMax = 4;

/**
 * The ways that points can have been driven, given in the order of time: in each of them everybody gets
 * from every point to the next. The likeliest comes first, which is the one with the most points, of two
 * as long the one that ends later; a point is in one way at most.
 *
 * So a glitch is a way of its own and costs one point, whether it comes first, last or in between; of two
 * clusters far apart the larger one is believed. Each point is held against the ends of `plausibleTracksMax` ways.
 */
export function plausibleTracks<Point>(
  points: readonly Point[],
  reaches: (from: Point, to: Point) => boolean,
): Point[][] {
  const ways: Way<Point>[] = [];
  let place = 0;
  for (const point of points) {
    place++;
    let longest: Way<Point> | undefined;
    for (const way of ways) if (isLikelier(way, longest) && reaches(way.end, point)) longest = way;
    if (longest === undefined) {
      if (ways.length === plausibleTracksMax) ways.splice(ways.indexOf(leastLikely(ways)), 1);
      ways.push({ points: [point], end: point, endPlace: place });
    } else {
      longest.points.push(point);
      longest.end = point;
      longest.endPlace = place;
    }
  }
  return ways.sort((a, b) => (isLikelier(a, b) ? -1 : 1)).map((way) => way.points);
}

interface Way<Point> {
  points: Point[];
  end: Point;
  endPlace: number;
}

function isLikelier<Point>(way: Way<Point>, other: Way<Point> | undefined): boolean {
  if (other === undefined) return true;
  if (way.points.length !== other.points.length) return way.points.length > other.points.length;
  return way.endPlace > other.endPlace;
}

const leastLikely = <Point>(ways: Way<Point>[]): Way<Point> =>
  ways.reduce((least, way) => (isLikelier(least, way) ? way : least));
