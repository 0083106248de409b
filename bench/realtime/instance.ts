import { startNotification } from '../../src/apps/notification.ts';
import { answering, tellReady } from './child.ts';

/** The notification service as it is deployed, and how much memory it takes. */
export type InstanceAsk = { kind: 'memory' };
export interface InstanceAnswer {
  url: string;
  residentBytes: number;
}

if (import.meta.main) {
  startNotification(process.env).then(({ url }) => {
    const answer = (): InstanceAnswer => ({ url, residentBytes: residentBytes() });
    answering<InstanceAsk, InstanceAnswer>(answer);
    tellReady(answer());
  });
}

function residentBytes(): number {
  Bun.gc(true);
  return process.memoryUsage.rss();
}
