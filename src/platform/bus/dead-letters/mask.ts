// What operators see of the body of a dead letter unless they ask for more: its shape and ids, without
// positions and names of people.

const positionKeys = /^(lat|lng|lon|long|latitude|longitude|coordinates?|position|location|address)$/i;
const nameKeys = /^(name|(first|last|given|family|full)_?name)$/i;
const masked = '***';
const depthMax = 20;

/**
 * The same body without positions and names of people. Text that is not JSON is withheld as a whole,
 * because nothing is known about its content.
 */
export function maskPersonalData(body: unknown): unknown {
  return typeof body === 'string' ? `(${body.length} characters, withheld)` : maskWithin(body, 0);
}

function maskWithin(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= depthMax) return masked;
  if (Array.isArray(value)) return value.map((item) => maskWithin(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      positionKeys.test(key) || nameKeys.test(key) ? masked : maskWithin(item, depth + 1),
    ]),
  );
}
