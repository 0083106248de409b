import type { Product } from '@contracts/drivers.ts';
import type { LatLng } from '@contracts/geo.ts';
import type { Clock } from '@platform/clock.ts';
import type { Random } from '@platform/random.ts';
import { gridPath, headingAlong, type Path, pathThrough, pointAlong, travelSpeed } from './streets.ts';

/** A vehicle on its way. Its position follows from the clock; nothing ticks. */
export interface Motion {
  driveTo(target: LatLng, random: Random): void;
  stop(): void;
  position(): LatLng;
  headingDegrees(): number;
  /** Simulated metres per simulated second; 0 when it stands. */
  speed(): number;
  /** Real milliseconds until it is there; 0 when it is. */
  remainingMs(): number;
}

export function createMotion(clock: Clock, timeScale: number, product: Product, start: LatLng): Motion {
  let path: Path = pathThrough([start]);
  let startedAtMs = clock.nowMs();
  let metresPerMs = 0;

  const metres = () => Math.min(path.lengthMetres, (clock.nowMs() - startedAtMs) * metresPerMs);
  const position = () => pointAlong(path, metres());
  const isThere = () => metres() >= path.lengthMetres;

  function follow(next: Path) {
    path = next;
    startedAtMs = clock.nowMs();
    metresPerMs = (travelSpeed(product, path.lengthMetres) * timeScale) / 1000;
  }

  return {
    driveTo: (target, random) => follow(gridPath(position(), target, random)),
    stop: () => follow(pathThrough([position()])),
    position,
    headingDegrees: () => headingAlong(path, metres()),
    speed: () => (isThere() ? 0 : travelSpeed(product, path.lengthMetres)),
    remainingMs: () => (isThere() ? 0 : (path.lengthMetres - metres()) / metresPerMs),
  };
}
