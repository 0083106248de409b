/**
 * Vietnamese family names. They come first in a name, and the given name comes last. Nine of ten people in
 * Vietnam have one of these. Spellings that are given names elsewhere are left out.
 */
const familyNames: ReadonlySet<string> = new Set(
  'nguyễn nguyen trần tran lê phạm pham hoàng hoang huỳnh huynh phan vũ võ đặng bùi đỗ hồ ngô dương lý'.split(
    ' ',
  ),
);

/** The part of a rider's name that the driver sees. Null if the name is empty. */
export function firstNameOf(name: string | null): string | null {
  const parts = (name ?? '').split(/\s+/u).filter((part) => part !== '');
  const [first = null] = parts;
  const isFamilyName = first !== null && familyNames.has(first.normalize('NFC').toLowerCase());
  return isFamilyName ? (parts.at(-1) ?? first) : first;
}
