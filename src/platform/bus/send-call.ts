import { problem } from '../problems.ts';

/** One call of `Publisher.send`: it resolves when all of its messages were sent and confirmed. */
export interface SendCall {
  /** Rejects when the call fails. */
  settled: Promise<void>;
  hasFailed(): boolean;
  onMessageSent(): void;
  /** Returns whether every message sent so far is confirmed. */
  onMessageConfirmed(): boolean;
  onAllSent(): void;
  /** Rejects the call. Only the first failure counts. */
  fail(detail: string, cause?: unknown): void;
}

export function createSendCall(onFailure: () => void): SendCall {
  const settled = Promise.withResolvers<void>();
  let unconfirmed = 0;
  let isAllSent = false;
  let failure: Error | undefined;

  return {
    settled: settled.promise,
    hasFailed: () => failure !== undefined,
    onMessageSent() {
      unconfirmed++;
    },
    onMessageConfirmed() {
      unconfirmed--;
      resolveIfDone();
      return unconfirmed === 0;
    },
    onAllSent() {
      isAllSent = true;
      resolveIfDone();
    },
    fail(detail, cause) {
      failure ??= problem('service.unavailable', { detail: `message broker: ${detail}`, cause });
      settled.reject(failure);
      onFailure();
    },
  };

  function resolveIfDone(): void {
    if (isAllSent && unconfirmed === 0 && failure === undefined) settled.resolve();
  }
}
