import { createNotificationKeys } from '../../modules/notification/keys.ts';
import { createRedisTickets } from '../../modules/notification/tickets/redis.ts';
import type { PersonId } from '../../src/contracts/ids.ts';
import type { Role } from '../../src/contracts/people.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { createLog } from '../../src/platform/log.ts';
import { systemRandom } from '../../src/platform/random.ts';
import { connectRedis, waitForRedis } from '../../src/platform/redis/connection.ts';
import type { Servers } from '../../src/tools/servers/index.ts';
import { type Child, startChild } from './child.ts';
import type { ClientsReport, ClientsRequest, ClientsResponse } from './clients.ts';
import type { InstanceRequest, InstanceResponse } from './instance.ts';

export const namespace = 'bench';
const sessionMs = 3_600_000;
const ticketMs = 300_000;
const newId = createIds(systemClock, systemRandom);
const script = (name: string) => `${import.meta.dir}/${name}`;

export type Instance = Child<InstanceRequest, InstanceResponse> & { ready: InstanceResponse };
export type ClientProcess = Child<ClientsRequest, ClientsResponse>;

/** Starts one process of the notification service on the given address. */
export const startInstance = (servers: Servers, hostname: string): Promise<Instance> =>
  startChild<InstanceRequest, InstanceResponse>({
    command: [process.execPath, script('instance.ts')],
    env: {
      HOST: hostname,
      PORT: '0',
      NAMESPACE: namespace,
      LOG_LEVEL: 'error',
      GEO_REDIS_URL: servers.geoRedis?.url ?? '',
      AMQP_URL: servers.rabbitmq?.url ?? '',
      SERVICE_TOKEN: 'a secret of the bench that nobody else knows',
      // No client signs in, drives or loses events, so these services are never called.
      USER_URL: 'http://127.0.0.1:9',
      DRIVER_URL: 'http://127.0.0.1:9',
      TRIP_URL: 'http://127.0.0.1:9',
      SOCKETS_MAX: '20000',
    },
  });

export const startClients = (onReport?: (report: ClientsReport) => void): Promise<ClientProcess> =>
  startChild<ClientsRequest, ClientsResponse, ClientsReport>({
    command: [process.execPath, script('clients.ts')],
    ...(onReport === undefined ? {} : { onReport }),
  });

export const socketAddressOf = ({ ready }: { ready: InstanceResponse }) => {
  const { hostname, port } = new URL(ready.url);
  return { hostname, port: Number(port) };
};

/** Issues tickets without a login: writes them directly to the store where the service looks them up. */
export async function createTicketIssuer(servers: Servers) {
  const redis = connectRedis(servers.geoRedis?.url ?? '', 'geo', createLog('error'));
  await waitForRedis(redis, 2_000);
  const tickets = createRedisTickets({
    redis,
    keys: createNotificationKeys(`${namespace}:`),
    clock: systemClock,
  });
  return {
    /** The connection path of a person, with a new ticket. */
    async issuePath(personId: PersonId, role: Role): Promise<string> {
      const ticket = newId<string>();
      const sessionExpiresAtMs = systemClock.nowMs() + sessionMs;
      const holder = { personId, role, sessionId: newId<string>(), sessionExpiresAtMs };
      await tickets.save(ticket, holder, ticketMs);
      return `/v1/realtime?ticket=${ticket}`;
    },
    /** Connection paths of `count` different people. */
    issuePaths(count: number, role: Role): Promise<string[]> {
      return Promise.all(Array.from({ length: count }, () => this.issuePath(newId<PersonId>(), role)));
    },
    close: () => redis.disconnect(),
  };
}
export type TicketIssuer = Awaited<ReturnType<typeof createTicketIssuer>>;
