import type { City } from '../city/index.ts';
import type { TestBed } from './test-bed.ts';

/** Ends a fault; resolves when the target works again. */
export type HealFault = () => Promise<void>;

export interface FaultTarget {
  name: string;
  /** What the fault occupies while it lasts: no two faults have the same resource at the same time. */
  resource: string;
  /** Resolves to undefined when there was nothing to break. */
  inject(testBed: TestBed, city: City): Promise<HealFault | undefined>;
}

export interface ChaosFaultKind {
  name: string;
  /** How often it is drawn, relative to others. 0 means once at the very end, because it cannot be healed. */
  weight: number;
  /** How long it lasts before it is healed. */
  durationMs: { min: number; max: number };
  targets: readonly FaultTarget[];
}
