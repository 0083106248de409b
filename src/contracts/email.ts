import { Kind, Type, TypeRegistry } from '@sinclair/typebox';

const lengthMax = 254;
const localLengthMax = 64;
const labelLengthMax = 63;

// No spaces, controls, invisible or unassigned characters, so that two addresses that look alike are equal.
const local = /^[[\p{L}\p{M}\p{N}\p{P}\p{S}]--[@\p{DI}\ufffc\ufffd\u2800]]+$/v;
// Excludes what a URL parser would read as the end of the host, a port, an escape or an IP address.
const domain = /^[[\p{L}\p{M}\p{N}.\-\u3002\uff0e\uff61]--\p{DI}]+$/v;
const label = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
const lastLabel = /[a-z]/;

/**
 * Returns the canonical spelling of an email address, or undefined when the text is not an address. Canonical
 * means NFC, lower case, and the domain as DNS knows it (`bücher.example` and `xn--bcher-kva.example` are equal).
 */
export function canonicalEmail(text: string): string | undefined {
  if (text.length > lengthMax) return undefined;
  const at = text.lastIndexOf('@');
  const user = inLowerCase(text.slice(0, Math.max(0, at)));
  if (user.length > localLengthMax || !local.test(user)) return undefined;
  const host = canonicalDomain(text.slice(at + 1));
  if (host === undefined) return undefined;
  const email = `${user}@${host}`;
  return email.length > lengthMax ? undefined : email;
}

/** Lower-casing can decompose a letter, such as the Turkish İ, so the result is normalised again. */
const inLowerCase = (text: string): string => text.normalize('NFC').toLowerCase().normalize('NFC');

function canonicalDomain(text: string): string | undefined {
  if (!domain.test(text.normalize('NFC'))) return undefined;
  const host = URL.parse(`http://${text}`)?.hostname ?? '';
  const labels = host.split('.');
  const isDomain =
    labels.length > 1 &&
    labels.every((part) => part.length <= labelLengthMax && label.test(part)) &&
    lastLabel.test(labels.at(-1) ?? '');
  return isDomain ? host : undefined;
}

const kind = 'Email';
TypeRegistry.Set(kind, (_, value) => typeof value === 'string' && canonicalEmail(value) !== undefined);

/** An email address in any spelling. Handlers get the canonical spelling. */
export const Email = Type.Transform(
  Type.Unsafe<string>({
    [Kind]: kind,
    type: 'string',
    format: 'idn-email',
    maxLength: lengthMax,
    description: 'an email address, compared without regard to case and Unicode form',
  }),
)
  .Decode((text) => canonicalEmail(text) ?? text)
  .Encode((text) => text);
