/**
 * Family names that stand first in Vietnamese, where the given name stands last. They are borne by nine
 * of ten people there. Only the spellings that are no given name elsewhere.
 */
const familyNames: ReadonlySet<string> = new Set(
  'nguyễn nguyen trần tran lê phạm pham hoàng hoang huỳnh huynh phan vũ võ đặng bùi đỗ hồ ngô dương lý'.split(
    ' ',
  ),
);

/** The one part of a name that the other side of a trip is shown; null where there is none. */
export function firstNameOf(name: string | null): string | null {
  const parts = (name ?? '').split(/\s+/u).filter((part) => part !== '');
  const [first = null] = parts;
  const isFamilyName = first !== null && familyNames.has(first.normalize('NFC').toLowerCase());
  return isFamilyName ? (parts.at(-1) ?? first) : first;
}
