import { startNotification } from '../../src/apps/notification.ts';
import { answering, tellReady } from './child.ts';
import { settledBytes } from './memory.ts';

/** The notification service as it is deployed, and how much memory it takes. */
export type InstanceAsk = { kind: 'memory' };
export interface InstanceAnswer {
  url: string;
  /** Known once it was asked for. */
  residentBytes: number;
}

if (import.meta.main) {
  startNotification(process.env).then(({ url }) => {
    answering<InstanceAsk, InstanceAnswer>(async () => ({ url, residentBytes: await settledBytes() }));
    tellReady<InstanceAnswer>({ url, residentBytes: 0 });
  });
}
