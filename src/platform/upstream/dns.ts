import { Resolver } from 'node:dns/promises';

/** What a name server is asked. Each rejects with a `code` of node's: ENODATA, ENOTFOUND, ESERVFAIL, … */
export interface DnsResolver {
  resolve4(name: string): Promise<string[]>;
  resolve6(name: string): Promise<string[]>;
  resolveServices(name: string): Promise<{ name: string; port: number }[]>;
}

export interface DnsResolverOptions {
  /** `address` or `address:port`; without them those of the system. */
  servers?: readonly string[];
  /** One question, repeats and TCP included. */
  timeoutMs?: number;
}

const defaultTimeoutMs = 2_000;
const tries = 2;

/**
 * Asks anew each time. The functions of `node:dns` share one resolver, which keeps an answer for its record's
 * TTL: instances that came or went stayed unseen for minutes. A resolver of its own for each question knows
 * nothing yet.
 */
export function createDnsResolver({
  servers,
  timeoutMs = defaultTimeoutMs,
}: DnsResolverOptions = {}): DnsResolver {
  async function ask<T>(question: (resolver: Resolver) => Promise<T>): Promise<T> {
    const resolver = new Resolver({ timeout: Math.ceil(timeoutMs / tries), tries });
    if (servers !== undefined) resolver.setServers(servers);
    const late = AbortSignal.timeout(timeoutMs);
    const { promise, reject } = Promise.withResolvers<never>();
    late.addEventListener('abort', () => {
      reject(late.reason);
      resolver.cancel();
    });
    return Promise.race([question(resolver), promise]);
  }
  return {
    resolve4: (name) => ask((resolver) => resolver.resolve4(name)),
    resolve6: (name) => ask((resolver) => resolver.resolve6(name)),
    resolveServices: (name) => ask((resolver) => resolver.resolveSrv(name)),
  };
}
