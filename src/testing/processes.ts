import type { ProcessName } from '../tools/local/fleet.ts';

/** Settings with which every process starts. No server listens at the addresses. */
export const completeSettings = {
  PATH: process.env.PATH ?? '',
  HOST: '127.0.0.1',
  PORT: '0',
  LOG_LEVEL: 'warn',
  SERVICE_TOKEN: 't'.repeat(32),
  SIGNING_KEY_SECRET: 'k'.repeat(32),
  DATABASE_URL: 'postgres://127.0.0.1:1/uitgo',
  GEO_REDIS_URL: 'redis://127.0.0.1:1',
  CACHE_REDIS_URL: 'redis://127.0.0.1:1',
  AMQP_URL: 'amqp://127.0.0.1:1',
  USER_URL: 'http://127.0.0.1:1',
  DRIVER_URL: 'http://127.0.0.1:1',
  TRIP_URL: 'http://127.0.0.1:1',
  PAYMENT_URL: 'http://127.0.0.1:1',
  NOTIFICATION_URL: 'http://127.0.0.1:1',
};

/** A URL that the process requires. */
const requiredUrl: Record<ProcessName, keyof typeof completeSettings> = {
  user: 'DATABASE_URL',
  driver: 'GEO_REDIS_URL',
  trip: 'DRIVER_URL',
  payment: 'CACHE_REDIS_URL',
  notification: 'TRIP_URL',
  gateway: 'NOTIFICATION_URL',
  all: 'AMQP_URL',
};

export interface InvalidConfiguration {
  description: string;
  /** Overrides of the complete settings; an empty text removes a setting. */
  settings: Record<string, string>;
  /** The settings that are reported as faulty. */
  faults: string[];
}

/** Configurations with which a process must refuse to start. */
export function invalidConfigurations(name: ProcessName): InvalidConfiguration[] {
  const url = requiredUrl[name];
  return [
    { description: 'a missing URL', settings: { [url]: '' }, faults: [url] },
    { description: 'a URL of another protocol', settings: { [url]: 'gopher://hidden-value' }, faults: [url] },
    {
      description: 'a number with a fraction',
      settings: { SHUTDOWN_GRACE_MS: '80.5' },
      faults: ['SHUTDOWN_GRACE_MS'],
    },
    { description: 'an unknown choice', settings: { LOG_LEVEL: 'hidden-value' }, faults: ['LOG_LEVEL'] },
    ...(name === 'user' || name === 'all'
      ? [
          {
            description: 'an incomplete account',
            settings: { OPS_EMAIL: 'ops@example.com' },
            faults: ['OPS_PASSWORD'],
          },
        ]
      : []),
    {
      description: 'two faults at once',
      settings: { [url]: 'hidden-value', PORT: '1e3' },
      faults: [url, 'PORT'],
    },
  ];
}

/** Runs a program with only these environment variables until it ends. */
export async function runToEnd(command: string[], env: Record<string, string>) {
  const child = Bun.spawn(command, { env, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
  const [out, err, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out, err, exitCode };
}
