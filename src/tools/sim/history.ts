/** An action of a client that changes the database. */
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

/** What clients attempted and what was acknowledged to them. The database is checked against it. */
export interface RunHistory {
  recordAttempt(personId: string, action: ClientAction): void;
  recordAcknowledged(personId: string, action: ClientAction, answer: Record<string, unknown>): void;
  recordViolation(description: string): void;
  wasAttempted(personId: string, action: ClientAction): boolean;
  acknowledgedActions: readonly AcknowledgedAction[];
  violations: readonly string[];
}

const keyOf = (personId: string, action: ClientAction): string => `${personId} ${JSON.stringify(action)}`;

export function createRunHistory(): RunHistory {
  const attempts = new Set<string>();
  const acknowledgedActions: AcknowledgedAction[] = [];
  const violations: string[] = [];
  return {
    recordAttempt: (personId, action) => void attempts.add(keyOf(personId, action)),
    recordAcknowledged: (personId, action, answer) =>
      void acknowledgedActions.push({ personId, action, answer }),
    recordViolation: (description) => void violations.push(description),
    wasAttempted: (personId, action) => attempts.has(keyOf(personId, action)),
    acknowledgedActions,
    violations,
  };
}
