import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Random } from '@platform/random.ts';
import { withTimeout } from '@platform/with-timeout.ts';
import type { ChargePolicy } from '../settings.ts';
import {
  type PaymentProvider,
  type ProviderAnswer,
  type ProviderNotice,
  type ProviderOperationRecord,
  type ProviderStep,
  providerKeyAgeMsMax,
} from './provider.ts';

/**
 * What is known after a call. `absent`: no answer came, and the provider lists nothing for the key.
 * `unreachable`: not even the list could be read. `expired`: the key is too old to be sent again and
 * nothing is listed for it, so only a new key can bring an answer.
 */
export type ProviderOutcome =
  | Exclude<ProviderAnswer, { kind: 'unknown' }>
  | { kind: 'unknown'; lookup: 'absent' | 'unreachable' | 'expired' };

export interface ProviderCall {
  operation: ProviderStep;
  idempotencyKey: string;
  /** When the key was first sent. */
  keyFirstSentAtMs: number;
  reference: string;
}

export interface ProviderCalls {
  /**
   * Sends a call within the time limit. If no answer comes, or the key is too old to be sent, looks the
   * outcome up in the list of the provider. Never rejects.
   */
  send(call: ProviderCall, perform: () => Promise<ProviderAnswer>): Promise<ProviderOutcome>;
  /** Looks up the outcome of a key without sending it. */
  lookUp(call: ProviderCall): Promise<ProviderOutcome>;
  /** The list of the provider for a reference; undefined when it cannot be read. */
  list(reference: string): Promise<ProviderOperationRecord[] | undefined>;
}

export interface ProviderCallsDeps {
  provider: PaymentProvider;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  timeoutMs: number;
  /**
   * Receives an answer that comes after the time limit, as a notice: by then the payment may be settled,
   * and the operation must be reversed. A process that was paused sends its call that late, too.
   */
  onLateAnswer: (notice: ProviderNotice) => Promise<void>;
}

export function createProviderCalls(deps: ProviderCallsDeps): ProviderCalls {
  const { provider, clock, log, metrics, timeoutMs, onLateAnswer } = deps;

  async function send(call: ProviderCall, perform: () => Promise<ProviderAnswer>): Promise<ProviderOutcome> {
    if (isExpired(call)) return lookUp(call);
    const { operation } = call;
    const pending = perform();
    const answer = (await waitForAnswer(operation, pending)) ?? { kind: 'unknown' };
    if (answer.kind === 'unknown') void forwardLateAnswer(call, pending);
    metrics.count('payment_provider_answers_total', { operation, answer: answer.kind });
    return answer.kind === 'unknown' ? lookUp(call) : answer;
  }

  async function lookUp(call: ProviderCall): Promise<ProviderOutcome> {
    const records = await list(call.reference);
    if (records === undefined) return { kind: 'unknown', lookup: 'unreachable' };
    const found = records.find(({ idempotencyKey }) => idempotencyKey === call.idempotencyKey);
    return found?.answer ?? { kind: 'unknown', lookup: isExpired(call) ? 'expired' : 'absent' };
  }

  function list(reference: string): Promise<ProviderOperationRecord[] | undefined> {
    return waitForAnswer('list', provider.list(reference));
  }

  const isExpired = ({ keyFirstSentAtMs }: ProviderCall) =>
    clock.nowMs() - keyFirstSentAtMs >= providerKeyAgeMsMax;

  async function waitForAnswer<Answer>(
    operation: string,
    pending: Promise<Answer>,
  ): Promise<Answer | undefined> {
    try {
      const answer = await withTimeout(clock, timeoutMs, pending);
      return answer === 'late' ? undefined : answer;
    } catch (error) {
      log.warn({ operation, err: error }, 'payment provider did not answer');
      return undefined;
    }
  }

  async function forwardLateAnswer(
    { operation, idempotencyKey, reference }: ProviderCall,
    pending: Promise<ProviderAnswer>,
  ): Promise<void> {
    try {
      const answer = await pending;
      if (answer.kind === 'unknown') return;
      metrics.count('payment_provider_answers_total', { operation, answer: 'late' });
      await onLateAnswer({ idempotencyKey, reference, answer });
    } catch (error) {
      log.warn({ operation, reference, err: error }, 'failed to apply a late answer of the payment provider');
    }
  }

  return { send, lookUp, list };
}

/**
 * The delay after `attempts` attempts: it doubles each time, with ±20% jitter to spread out concurrent
 * retries.
 */
export function retryDelayMs(
  { retryMs, retryMsMax }: ChargePolicy,
  attempts: number,
  random: Random,
): number {
  const grownMs = Math.min(retryMsMax, retryMs * 2 ** Math.min(attempts - 1, 30));
  return Math.round(grownMs * (0.8 + 0.4 * random.next()));
}
