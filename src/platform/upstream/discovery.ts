import { isIPv6 } from 'node:net';
import type { Clock } from '../clock.ts';
import { createLoop, type Worker } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import { createDnsResolver, type DnsResolver } from './dns.ts';
import type { Upstream } from './upstream.ts';

/** Where the addresses of a service's instances come from. */
export type InstanceSource =
  | { kind: 'list'; urls: readonly string[] }
  /** Every A and AAAA record of a name, all with one port. */
  | { kind: 'dns'; protocol: string; name: string; port: string }
  /** Every SRV record of a name, each with its port. */
  | { kind: 'srv'; protocol: string; name: string }
  /** A file with one URL a line; empty lines and lines that start with `#` are ignored. */
  | { kind: 'file'; path: string };

const instancesMax = 64;

/** `http://a,http://b`, `dns+http://name:port`, `srv+http://name`, `file:///path`. Throws an Error for anything else. */
export function parseInstanceSource(setting: string): InstanceSource {
  if (setting.startsWith('file://')) return { kind: 'file', path: new URL(setting).pathname };
  const [, kind, protocol, rest = ''] = /^(dns|srv)\+(https?):\/\/(.+)$/.exec(setting) ?? [];
  if (kind === undefined || protocol === undefined)
    return { kind: 'list', urls: validateUrls(setting.split(',')) };
  const { hostname, port } = new URL(`${protocol}://${rest}`);
  if (kind === 'srv') return { kind, protocol, name: hostname };
  return { kind: 'dns', protocol, name: hostname, port: port || (protocol === 'https' ? '443' : '80') };
}

/** Whether a setting has one of these forms. */
export function isInstanceSource(setting: string): boolean {
  try {
    parseInstanceSource(setting);
    return !/[\s\p{Cc}]/u.test(setting);
  } catch {
    return false;
  }
}

/** Reads the current instances. Rejects when the source cannot be read, is empty, or contains an invalid URL. */
export async function findInstances(source: InstanceSource, names: DnsResolver): Promise<string[]> {
  switch (source.kind) {
    case 'list':
      return [...source.urls];
    case 'file':
      return validateUrls(
        (await Bun.file(source.path).text()).split('\n').filter((line) => !/^\s*(#|$)/.test(line)),
      );
    case 'srv': {
      const records = await names.resolveServices(source.name);
      return validateUrls(records.map(({ name, port }) => `${source.protocol}://${name}:${port}`));
    }
    case 'dns':
      return validateUrls(await resolveAddresses(source, names));
  }
}

async function resolveAddresses(
  { protocol, name, port }: InstanceSource & { kind: 'dns' },
  names: DnsResolver,
): Promise<string[]> {
  const found = await Promise.all([
    names.resolve4(name).catch(emptyIfNoRecords),
    names.resolve6(name).catch(emptyIfNoRecords),
  ]);
  return found.flat().map((address) => `${protocol}://${isIPv6(address) ? `[${address}]` : address}:${port}`);
}

/** No records of one address family mean no addresses. Any other error means that the instances are unknown. */
function emptyIfNoRecords(error: unknown): string[] {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENODATA' || code === 'ENOTFOUND') return [];
  throw error;
}

/** Removes duplicates and sorts, so that equal sets of instances are equal lists. */
function validateUrls(urls: readonly string[]): string[] {
  const origins = new Set<string>();
  for (const text of urls) {
    const { protocol, origin, pathname, username } = new URL(text.trim());
    if (!/^https?:$/.test(protocol) || pathname !== '/' || username !== '')
      throw new Error('an instance must be http:// or https:// with a host and a port, and nothing else');
    origins.add(origin);
  }
  if (origins.size === 0) throw new Error('no instances listed');
  if (origins.size > instancesMax) throw new Error(`more than ${instancesMax} instances listed`);
  return [...origins].sort();
}

export interface DiscoveryOptions {
  upstream: Upstream;
  source: InstanceSource;
  refreshMs: number;
  clock: Clock;
  log: Log;
  dnsResolver?: DnsResolver;
}

/**
 * Refreshes the instances of an upstream periodically. A source that fails or is empty changes nothing, since that is
 * more often an error of the source than the end of all instances. `start` waits for the first refresh, so that
 * callers find instances from the beginning.
 */
export function createDiscovery(options: DiscoveryOptions): Worker {
  const { upstream, source, refreshMs, clock, log, dnsResolver = createDnsResolver() } = options;
  let known = '';
  const firstRefresh = Promise.withResolvers<void>();
  const loop = createLoop({
    name: `upstream:instances:${upstream.name}`,
    clock,
    log,
    idleMs: refreshMs,
    step: () => refresh().finally(firstRefresh.resolve),
  });
  return {
    name: loop.name,
    stop: loop.stop,
    async start() {
      await loop.start();
      await firstRefresh.promise;
    },
  };

  async function refresh(): Promise<boolean> {
    const urls = await findInstances(source, dnsResolver);
    if (urls.join() === known) return false;
    known = urls.join();
    upstream.update(urls);
    log.info({ upstream: upstream.name, instances: urls }, 'instances changed');
    return false;
  }
}
