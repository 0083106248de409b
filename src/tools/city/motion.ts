import type { Product } from '@contracts/drivers.ts';
import type { LatLng } from '@contracts/geo.ts';
import type { Clock } from '@platform/clock.ts';
import type { Random } from '@platform/random.ts';
import { gridPath, headingAlong, type Path, pathThrough, pointAlong, travelSpeed } from './streets.ts';

/** A moving vehicle. Its position is computed from the clock, without timers. */
export interface Motion {
  driveTo(target: LatLng, random: Random): void;
  stop(): void;
  position(): LatLng;
  headingDegrees(): number;
  /** Simulated metres per simulated second; 0 at the destination. */
  speed(): number;
  /** Real milliseconds until the destination; 0 once it is reached. */
  remainingMs(): number;
}

export function createMotion(clock: Clock, timeScale: number, product: Product, start: LatLng): Motion {
  let path: Path = pathThrough([start]);
  let startedAtMs = clock.nowMs();
  let metresPerMs = 0;

  const metres = () => Math.min(path.lengthMetres, (clock.nowMs() - startedAtMs) * metresPerMs);
  const position = () => pointAlong(path, metres());
  const hasArrived = () => metres() >= path.lengthMetres;

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
    speed: () => (hasArrived() ? 0 : travelSpeed(product, path.lengthMetres)),
    remainingMs: () => (hasArrived() ? 0 : (path.lengthMetres - metres()) / metresPerMs),
  };
}
