import { type Static, Type } from '@sinclair/typebox';
import { setting } from '../config.ts';
import { isInstanceSource } from './discovery.ts';

/** How the instances of a service are found. */
export const instancesSetting = (service: string) =>
  setting.validated(
    `instances of the ${service} service: URLs separated by commas, a DNS name, or a file`,
    isInstanceSource,
  );

/** Settings of a process that calls the instances of other services. */
export const upstreamSettings = {
  UPSTREAM_TIMEOUT_MS: setting.integer(
    'milliseconds without an answer after which an instance counts as failed',
    100,
    60_000,
    8_000,
  ),
  UPSTREAM_CONCURRENCY_MAX: setting.integer('requests in flight to one service', 1, 10_000, 200),
  UPSTREAM_CONNECT_TIMEOUT_MS: setting.integer(
    'milliseconds that a connection to an instance may take to open',
    10,
    10_000,
    1_000,
  ),
  HEALTH_CHECK_MS: setting.integer(
    'milliseconds between two health checks of an instance',
    100,
    60_000,
    1_000,
  ),
  INSTANCES_REFRESH_MS: setting.integer(
    'milliseconds between two refreshes of the instances of a service',
    100,
    600_000,
    5_000,
  ),
};
const schema = Type.Object(upstreamSettings);
export type UpstreamSettings = Static<typeof schema>;
