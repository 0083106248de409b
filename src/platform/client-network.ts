import { isIPv6 } from 'node:net';

/**
 * The network that a client address is counted under: an IPv4 address itself, also when it is written as IPv6, and
 * the first 64 bits of an IPv6 address, since every customer of a provider controls at least the other 64.
 */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const address6 = address.replace(/^\[|\]$|%.*$/g, '').toLowerCase();
  const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/.exec(address6)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address6)) return address;
  const [left = '', right] = address6.split('::');
  const groups = left === '' ? [] : left.split(':');
  const after = right === undefined || right === '' ? [] : right.split(':');
  const zeros = right === undefined ? 0 : Math.max(0, 8 - groups.length - after.length);
  const allGroups = [...groups, ...Array.from({ length: zeros }, () => '0'), ...after];
  return `${allGroups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`;
}
