import { Kind, Type, TypeRegistry } from '@sinclair/typebox';

const lengthMax = 254;
const localLengthMax = 64;
const labelLengthMax = 63;

// No spaces, controls, invisible or unassigned characters: two addresses that look alike are one.
const local = /^[[\p{L}\p{M}\p{N}\p{P}\p{S}]--[@\p{DI}\ufffc\ufffd\u2800]]+$/v;
// What a URL reader would take for the end of a host, for a port, an escape or an address.
const domain = /^[[\p{L}\p{M}\p{N}.\-\u3002\uff0e\uff61]--\p{DI}]+$/v;
const label = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
const lastLabel = /[a-z]/;

/**
 * The one spelling of an email address, or undefined for what is none: NFC, lower case, the domain as it is
 * asked for in DNS (`bücher.example` and `xn--bcher-kva.example` are one domain).
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

/** Lower case can decompose a letter, as of the Turkish İ. */
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

/** An email address in any spelling. Handlers get the canonical one. */
export const Email = Type.Transform(
  Type.Unsafe<string>({
    [Kind]: kind,
    type: 'string',
    format: 'idn-email',
    maxLength: lengthMax,
    description: 'an email address; spellings that mail servers take for one are one',
  }),
)
  .Decode((text) => canonicalEmail(text) ?? text)
  .Encode((text) => text);
