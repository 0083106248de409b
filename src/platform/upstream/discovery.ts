import { isIPv6 } from 'node:net';
import type { Clock } from '../clock.ts';
import { createLoop, type Worker } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import { createDnsResolver, type DnsResolver } from './dns.ts';
import type { Upstream } from './upstream.ts';

/** Where the addresses of a service's instances come from. */
export type InstanceSource =
  | { kind: 'list'; urls: readonly string[] }
  /** Every A and AAAA record of a name, each at one port. */
  | { kind: 'dns'; protocol: string; name: string; port: string }
  /** Every SRV record of a name, each with its port. */
  | { kind: 'srv'; protocol: string; name: string }
  /** A file with one URL a line; empty lines and `#` are left out. */
  | { kind: 'file'; path: string };

const instancesMax = 64;

/** `http://a,http://b`, `dns+http://name:port`, `srv+http://name`, `file:///path`. Throws an Error when it is none of them. */
export function parseInstanceSource(setting: string): InstanceSource {
  if (setting.startsWith('file://')) return { kind: 'file', path: new URL(setting).pathname };
  const [, kind, protocol, rest = ''] = /^(dns|srv)\+(https?):\/\/(.+)$/.exec(setting) ?? [];
  if (kind === undefined || protocol === undefined)
    return { kind: 'list', urls: checked(setting.split(',')) };
  const { hostname, port } = new URL(`${protocol}://${rest}`);
  if (kind === 'srv') return { kind, protocol, name: hostname };
  return { kind: 'dns', protocol, name: hostname, port: port || (protocol === 'https' ? '443' : '80') };
}

/** Whether a setting has one of the shapes. */
export function isInstanceSource(setting: string): boolean {
  try {
    parseInstanceSource(setting);
    return !/[\s\p{Cc}]/u.test(setting);
  } catch {
    return false;
  }
}

/** The instances as they are now. Rejects when the source can't be read, names none, or names nonsense. */
export async function findInstances(source: InstanceSource, names: DnsResolver): Promise<string[]> {
  switch (source.kind) {
    case 'list':
      return [...source.urls];
    case 'file':
      return checked(
        (await Bun.file(source.path).text()).split('\n').filter((line) => !/^\s*(#|$)/.test(line)),
      );
    case 'srv': {
      const records = await names.resolveServices(source.name);
      return checked(records.map(({ name, port }) => `${source.protocol}://${name}:${port}`));
    }
    case 'dns':
      return checked(await addresses(source, names));
  }
}

async function addresses(
  { protocol, name, port }: InstanceSource & { kind: 'dns' },
  names: DnsResolver,
): Promise<string[]> {
  const found = await Promise.all([
    names.resolve4(name).catch(noneIfEmpty),
    names.resolve6(name).catch(noneIfEmpty),
  ]);
  return found.flat().map((address) => `${protocol}://${isIPv6(address) ? `[${address}]` : address}:${port}`);
}

/** A name without records of one family has none; without an answer for one family nothing is known. */
function noneIfEmpty(error: unknown): string[] {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENODATA' || code === 'ENOTFOUND') return [];
  throw error;
}

/** Each once, in one order, so that the same instances always look the same. */
function checked(urls: readonly string[]): string[] {
  const found = new Set<string>();
  for (const text of urls) {
    const { protocol, origin, pathname, username } = new URL(text.trim());
    if (!/^https?:$/.test(protocol) || pathname !== '/' || username !== '')
      throw new Error('an instance is http:// or https:// with a host and a port, and no more');
    found.add(origin);
  }
  if (found.size === 0) throw new Error('no instance is named');
  if (found.size > instancesMax) throw new Error(`more than ${instancesMax} instances are named`);
  return [...found].sort();
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
 * Looks again and again for the instances. A source that fails or names none changes nothing: it is more often
 * a fault of the source than the end of all instances. Starts with the first look, so that callers find
 * instances from the beginning.
 */
export function createDiscovery(options: DiscoveryOptions): Worker {
  const { upstream, source, refreshMs, clock, log, dnsResolver = createDnsResolver() } = options;
  let known = '';
  const firstLook = Promise.withResolvers<void>();
  const loop = createLoop({
    name: `upstream:instances:${upstream.name}`,
    clock,
    log,
    idleMs: refreshMs,
    step: () => look().finally(firstLook.resolve),
  });
  return {
    name: loop.name,
    stop: loop.stop,
    async start() {
      await loop.start();
      await firstLook.promise;
    },
  };

  async function look(): Promise<boolean> {
    const urls = await findInstances(source, dnsResolver);
    if (urls.join() === known) return false;
    known = urls.join();
    upstream.update(urls);
    log.info({ upstream: upstream.name, instances: urls }, 'instances changed');
    return false;
  }
}
