/** What somebody asks for that leaves a mark in the database. */
export type ClientAction =
  | { kind: 'create'; quoteId: string }
  | { kind: 'accept' | 'decline' | 'arrive' | 'start' | 'complete' | 'cancel' | 'rating'; tripId: string }
  | { kind: 'hand_over'; tripId: string }
  | { kind: 'refund' | 'pay'; paymentId: string }
  | { kind: 'method' }
  | { kind: 'quote' };

export interface AcknowledgedAction {
  personId: string;
  action: ClientAction;
  answer: Record<string, unknown>;
}

/** What the clients saw: asked for, and told that it was done. The promises are judged by this. */
export interface RunHistory {
  recordAttempt(personId: string, action: ClientAction): void;
  recordAcknowledged(personId: string, action: ClientAction, answer: Record<string, unknown>): void;
  recordViolation(said: string): void;
  wasAttempted(personId: string, action: ClientAction): boolean;
  acknowledgedActions: readonly AcknowledgedAction[];
  violations: readonly string[];
}

const keyOf = (personId: string, action: ClientAction): string => `${personId} ${JSON.stringify(action)}`;

export function createRunHistory(): RunHistory {
  const tries = new Set<string>();
  const acknowledgedActions: AcknowledgedAction[] = [];
  const violations: string[] = [];
  return {
    recordAttempt: (personId, action) => void tries.add(keyOf(personId, action)),
    recordAcknowledged: (personId, action, answer) =>
      void acknowledgedActions.push({ personId, action, answer }),
    recordViolation: (said) => void violations.push(said),
    wasAttempted: (personId, action) => tries.has(keyOf(personId, action)),
    acknowledgedActions,
    violations,
  };
}
