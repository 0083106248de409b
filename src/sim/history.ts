/** What somebody asks for that leaves a mark in the database. */
export type Action =
  | { kind: 'create'; quoteId: string }
  | { kind: 'accept' | 'decline' | 'arrive' | 'start' | 'complete' | 'cancel' | 'rating'; tripId: string }
  | { kind: 'hand_over'; tripId: string }
  | { kind: 'refund' | 'pay'; paymentId: string }
  | { kind: 'method' }
  | { kind: 'quote' };

export interface Acknowledged {
  personId: string;
  action: Action;
  answer: Record<string, unknown>;
}

/** What the clients saw: asked for, and told that it was done. The promises are judged by this. */
export interface History {
  tried(personId: string, action: Action): void;
  acknowledged(personId: string, action: Action, answer: Record<string, unknown>): void;
  violation(said: string): void;
  wasTried(personId: string, action: Action): boolean;
  done: readonly Acknowledged[];
  violations: readonly string[];
}

const keyOf = (personId: string, action: Action): string => `${personId} ${JSON.stringify(action)}`;

export function createHistory(): History {
  const tries = new Set<string>();
  const done: Acknowledged[] = [];
  const violations: string[] = [];
  return {
    tried: (personId, action) => void tries.add(keyOf(personId, action)),
    acknowledged: (personId, action, answer) => void done.push({ personId, action, answer }),
    violation: (said) => void violations.push(said),
    wasTried: (personId, action) => tries.has(keyOf(personId, action)),
    done,
    violations,
  };
}
