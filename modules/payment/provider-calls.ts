import type { Clock } from '@platform/clock.ts';
import type { Log } from '@platform/log.ts';
import type { Metrics } from '@platform/metrics.ts';
import type { Random } from '@platform/random.ts';
import type { PaymentProvider, ProviderAnswer } from './provider.ts';
import type { ChargePolicy } from './settings.ts';

/**
 * What is known after asking. `unknown` and `absent`: no answer, and the provider says that nothing
 * happened under the key. `unknown` and `unreachable`: not even that can be said.
 */
export type Settled =
  | Exclude<ProviderAnswer, { kind: 'unknown' }>
  | { kind: 'unknown'; seen: 'absent' | 'unreachable' };

export interface ProviderCalls {
  /** Asks within the time limit; when no answer comes, looks up what became of the key. Never rejects. */
  ask(operation: string, idempotencyKey: string, call: () => Promise<ProviderAnswer>): Promise<Settled>;
}

export interface ProviderCallsOptions {
  provider: PaymentProvider;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  timeoutMs: number;
}

export function createProviderCalls(options: ProviderCallsOptions): ProviderCalls {
  const { provider, clock, log, metrics, timeoutMs } = options;

  async function ask(operation: string, idempotencyKey: string, call: () => Promise<ProviderAnswer>) {
    const answer = await within(operation, call);
    metrics.count('payment_provider_answers_total', { operation, answer: answer.kind });
    if (answer.kind !== 'unknown') return answer;
    const found = await within('find', () => provider.find(idempotencyKey));
    if (found.kind === 'unknown') return { kind: 'unknown', seen: 'unreachable' } as const;
    if (found.kind === 'absent') return { kind: 'unknown', seen: 'absent' } as const;
    return found;
  }

  async function within<Answer>(operation: string, call: () => Promise<Answer>) {
    const answered = new AbortController();
    const unknown = { kind: 'unknown' } as const;
    const late = clock.sleep(timeoutMs, answered.signal).then(() => unknown);
    try {
      return await Promise.race([call(), late]);
    } catch (error) {
      log.warn({ operation, err: error }, 'the payment provider gave no answer');
      return unknown;
    } finally {
      answered.abort();
    }
  }

  return { ask };
}

/** When to try again after `attempts` tries: twice as long each time, within ±20% so that waiters part. */
export function retryDelayMs(
  { retryMs, retryMsMax }: ChargePolicy,
  attempts: number,
  random: Random,
): number {
  const grownMs = Math.min(retryMsMax, retryMs * 2 ** Math.min(attempts - 1, 30));
  return Math.round(grownMs * (0.8 + 0.4 * random.next()));
}
