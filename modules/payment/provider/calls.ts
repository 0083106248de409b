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
  | { kind: 'unknown'; seen: 'absent' | 'unreachable' | 'expired' };

export interface ProviderCall {
  operation: ProviderStep;
  idempotencyKey: string;
  /** When the key was first sent. */
  keyAtMs: number;
  reference: string;
}

export interface ProviderCalls {
  /**
   * Sends a call within the time limit. If no answer comes, or the key is too old to be sent, looks the
   * outcome up in the list of the provider. Never rejects.
   */
  send(question: ProviderCall, call: () => Promise<ProviderAnswer>): Promise<ProviderOutcome>;
  /** Looks up the outcome of a key without sending it. */
  lookUp(question: ProviderCall): Promise<ProviderOutcome>;
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

export function createProviderCalls(options: ProviderCallsDeps): ProviderCalls {
  const { provider, clock, log, metrics, timeoutMs, onLateAnswer } = options;

  async function send(question: ProviderCall, call: () => Promise<ProviderAnswer>): Promise<ProviderOutcome> {
    if (isExpired(question)) return lookUp(question);
    const { operation } = question;
    const calling = call();
    const answer = (await answered(operation, calling)) ?? { kind: 'unknown' };
    if (answer.kind === 'unknown') void takeLateAnswer(question, calling);
    metrics.count('payment_provider_answers_total', { operation, answer: answer.kind });
    return answer.kind === 'unknown' ? lookUp(question) : answer;
  }

  async function lookUp(question: ProviderCall): Promise<ProviderOutcome> {
    const records = await list(question.reference);
    if (records === undefined) return { kind: 'unknown', seen: 'unreachable' };
    const found = records.find(({ idempotencyKey }) => idempotencyKey === question.idempotencyKey);
    return found?.answer ?? { kind: 'unknown', seen: isExpired(question) ? 'expired' : 'absent' };
  }

  function list(reference: string): Promise<ProviderOperationRecord[] | undefined> {
    return answered('list', provider.list(reference));
  }

  const isExpired = ({ keyAtMs }: ProviderCall) => clock.nowMs() - keyAtMs >= providerKeyAgeMsMax;

  async function answered<Answer>(operation: string, calling: Promise<Answer>): Promise<Answer | undefined> {
    try {
      const answer = await withTimeout(clock, timeoutMs, calling);
      return answer === 'late' ? undefined : answer;
    } catch (error) {
      log.warn({ operation, err: error }, 'payment provider did not answer');
      return undefined;
    }
  }

  async function takeLateAnswer(
    { operation, idempotencyKey, reference }: ProviderCall,
    calling: Promise<ProviderAnswer>,
  ): Promise<void> {
    try {
      const answer = await calling;
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
