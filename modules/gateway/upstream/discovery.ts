import { resolve4, resolve6, resolveSrv } from 'node:dns/promises';
import { isIPv6 } from 'node:net';
import type { Clock } from '@platform/clock.ts';
import { createLoop, type Worker } from '@platform/lifecycle.ts';
import type { Log } from '@platform/log.ts';
import type { Upstream } from './upstream.ts';

/** Where the addresses of a context's instances come from. */
export type InstanceSource =
  | { kind: 'list'; urls: readonly string[] }
  /** Every A and AAAA record of a name, each at one port. */
  | { kind: 'dns'; protocol: string; name: string; port: string }
  /** Every SRV record of a name, each with its port. */
  | { kind: 'srv'; protocol: string; name: string }
  /** A file with one URL a line; empty lines and `#` are left out. */
  | { kind: 'file'; path: string };

/** The shapes that a setting may have: `http://a,http://b`, `dns+http://name:port`, `srv+http://name`, `file:///path`. */
export const instanceProtocols = 'https?|dns\\+https?|srv\\+https?|file';

const instancesMax = 64;

/** Throws an Error when it is none of the shapes. */
export function instanceSourceOf(setting: string): InstanceSource {
  if (setting.startsWith('file://')) return { kind: 'file', path: new URL(setting).pathname };
  const [, kind, protocol, rest = ''] = /^(dns|srv)\+(https?):\/\/(.+)$/.exec(setting) ?? [];
  if (kind === undefined || protocol === undefined)
    return { kind: 'list', urls: checked(setting.split(',')) };
  const { hostname, port } = new URL(`${protocol}://${rest}`);
  if (kind === 'srv') return { kind, protocol, name: hostname };
  return { kind: 'dns', protocol, name: hostname, port: port || (protocol === 'https' ? '443' : '80') };
}

/** What a name server is asked; of node's own shape. */
export interface Resolver {
  resolve4(name: string): Promise<string[]>;
  resolve6(name: string): Promise<string[]>;
  resolveSrv(name: string): Promise<{ name: string; port: number }[]>;
}
const systemResolver: Resolver = { resolve4, resolve6, resolveSrv };

/** The instances as they are now. Rejects when the source can't be read, names nobody, or names nonsense. */
export async function findInstances(source: InstanceSource, resolver = systemResolver): Promise<string[]> {
  switch (source.kind) {
    case 'list':
      return [...source.urls];
    case 'file':
      return checked(
        (await Bun.file(source.path).text()).split('\n').filter((line) => !/^\s*(#|$)/.test(line)),
      );
    case 'srv': {
      const records = await resolver.resolveSrv(source.name);
      return checked(records.map(({ name, port }) => `${source.protocol}://${name}:${port}`));
    }
    case 'dns':
      return checked(await addresses(source, resolver));
  }
}

async function addresses(
  { protocol, name, port }: InstanceSource & { kind: 'dns' },
  resolver: Resolver,
): Promise<string[]> {
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  const [first] = answers;
  if (found.length === 0 && first.status === 'rejected') throw first.reason;
  return found.map((address) => `${protocol}://${isIPv6(address) ? `[${address}]` : address}:${port}`);
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
  resolver?: Resolver;
}

/**
 * Looks again and again who the instances are. A source that fails or names nobody changes nothing: it
 * is more often a fault of the source than the end of all instances.
 */
export function createDiscovery({
  upstream,
  source,
  refreshMs,
  clock,
  log,
  resolver,
}: DiscoveryOptions): Worker {
  let known = '';
  return createLoop({
    name: `gateway:instances:${upstream.name}`,
    clock,
    log,
    idleMs: refreshMs,
    step: async () => {
      const urls = await findInstances(source, resolver);
      if (urls.join() === known) return false;
      known = urls.join();
      upstream.update(urls);
      log.info({ upstream: upstream.name, instances: urls }, 'instances changed');
      return false;
    },
  });
}
