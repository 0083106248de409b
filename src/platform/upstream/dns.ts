import { Resolver } from 'node:dns/promises';

/** DNS queries. Each rejects with one of Node's error codes: ENODATA, ENOTFOUND, ESERVFAIL, … */
export interface DnsResolver {
  resolve4(name: string): Promise<string[]>;
  resolve6(name: string): Promise<string[]>;
  resolveServices(name: string): Promise<{ name: string; port: number }[]>;
}

export interface DnsResolverOptions {
  /** Name servers as `address` or `address:port`; the system's by default. */
  servers?: readonly string[];
  /** The limit of one query, retries and TCP included. */
  timeoutMs?: number;
}

const defaultTimeoutMs = 2_000;
const tries = 2;

/**
 * Resolves names without any cache. The functions of `node:dns` share one resolver, which caches an answer for the TTL
 * of its record: changes of the instances stayed unseen for minutes. A new resolver for each query has no cache.
 */
export function createDnsResolver({
  servers,
  timeoutMs = defaultTimeoutMs,
}: DnsResolverOptions = {}): DnsResolver {
  async function query<T>(run: (resolver: Resolver) => Promise<T>): Promise<T> {
    const resolver = new Resolver({ timeout: Math.ceil(timeoutMs / tries), tries });
    if (servers !== undefined) resolver.setServers(servers);
    const deadline = AbortSignal.timeout(timeoutMs);
    const { promise, reject } = Promise.withResolvers<never>();
    deadline.addEventListener('abort', () => {
      reject(deadline.reason);
      resolver.cancel();
    });
    return Promise.race([run(resolver), promise]);
  }
  return {
    resolve4: (name) => query((resolver) => resolver.resolve4(name)),
    resolve6: (name) => query((resolver) => resolver.resolve6(name)),
    resolveServices: (name) => query((resolver) => resolver.resolveSrv(name)),
  };
}
