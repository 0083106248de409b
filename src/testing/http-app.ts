import { createHttpApp, type HttpAppOptions } from '@platform/http/app.ts';

type GivenOptions = 'service' | 'clock' | 'ids' | 'log' | 'metrics' | 'readinessChecks';

/** The app that a service starts from, always ready and with the body limit of the settings' default. */
export const createTestHttpApp = (
  options: Pick<HttpAppOptions, GivenOptions> & Partial<Pick<HttpAppOptions, 'accessLog'>>,
) => createHttpApp({ isAccepting: () => true, accessLog: false, bodyBytesMax: 65_536, ...options });
