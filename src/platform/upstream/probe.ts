import type { Clock } from '../clock.ts';
import type { Instance } from './upstream.ts';

/** What an instance answers to a request that no client has any part in. */
export interface ProbeResult {
  /** It answered, with whatever status. */
  isAlive: boolean;
  /** It says that it may take traffic. */
  isReady: boolean;
}

const path = '/readyz';
const failed: ProbeResult = { isAlive: false, isReady: false };
const neverGone = () => false;

/** Asks an instance whether it may take traffic, and waits for `timeoutMs` at most. Never rejects. */
export async function probeInstance(
  { client }: Instance,
  {
    clock,
    timeoutMs,
    isGone: isAbandoned = neverGone,
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
