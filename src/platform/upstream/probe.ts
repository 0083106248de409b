import type { Clock } from '../clock.ts';
import type { Instance } from './instance.ts';

/** How an instance answers a request that no client influences. */
export interface ProbeResult {
  /** It answered, with any status. */
  isAlive: boolean;
  /** It reports that it may receive traffic. */
  isReady: boolean;
}

const path = '/readyz';
const failed: ProbeResult = { isAlive: false, isReady: false };
const neverAbandoned = () => false;

/** Asks an instance whether it may receive traffic, and waits at most `timeoutMs`. Never rejects. */
export async function probeInstance(
  { client }: Instance,
  {
    clock,
    timeoutMs,
    isGone: isAbandoned = neverAbandoned,
  }: { clock: Clock; timeoutMs: number; isGone?: () => boolean },
): Promise<ProbeResult> {
  try {
    const { status, body } = await client.send({
      method: 'GET',
      target: path,
      lines: '',
      body: undefined,
      isAbandoned,
      dueMs: clock.nowMs() + timeoutMs,
    });
    if (body instanceof ReadableStream) await body.cancel();
    return { isAlive: true, isReady: status === 200 };
  } catch {
    return failed;
  }
}
