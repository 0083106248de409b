import { startNotification } from '../../src/apps/notification.ts';
import { answerRequests, sendReady } from './child.ts';
import { measureSettledBytes } from './memory.ts';

/** The notification service as it is deployed; reports its memory on request. */
export type InstanceRequest = { kind: 'memory' };
export interface InstanceResponse {
  url: string;
  /** 0 in the first answer; measured on request. */
  residentBytes: number;
}

if (import.meta.main) {
  startNotification(process.env).then(({ url }) => {
    answerRequests<InstanceRequest, InstanceResponse>(async () => ({
      url,
      residentBytes: await measureSettledBytes(),
    }));
    sendReady<InstanceResponse>({ url, residentBytes: 0 });
  });
}
