import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { ServerError } from './types.ts';

/**
 * Below the range of ephemeral ports (Linux from 32768, macOS from 49152). A port in that range could be taken by any
 * client between the check and the server's bind, and a client that reconnects to a stopped server could even connect
 * to itself and hold the port.
 */
const portMin = 15_000;
const portMax = 32_000;
const portAttemptsMax = 200;
const startAttemptsMax = 5;

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });

const handedOut = new Set<number>();

/** Finds a free TCP port on 127.0.0.1; never returns the same port twice in this process. */
export const findFreePort = async (): Promise<number> => {
  for (let attempt = 0; attempt < portAttemptsMax; attempt += 1) {
    const port = randomInt(portMin, portMax);
    if (handedOut.has(port)) continue;
    handedOut.add(port);
    if (await isFree(port)) return port;
  }
  throw new ServerError(
    'server.port_taken',
    `no free port found on 127.0.0.1 between ${portMin} and ${portMax}`,
  );
};

/**
 * Runs `start` with a free port, and with another one if a different program took the port first. A port that the
 * caller requests is tried once, and `server.port_taken` is then thrown.
 */
export const withPort = async <T>(
  wanted: number | undefined,
  start: (port: number) => Promise<T>,
): Promise<T> => {
  if (wanted !== undefined) return start(wanted);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start(await findFreePort());
    } catch (error) {
      const wasTaken = error instanceof ServerError && error.code === 'server.port_taken';
      if (!wasTaken || attempt >= startAttemptsMax) throw error;
    }
  }
};
