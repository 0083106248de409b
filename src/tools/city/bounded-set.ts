/** Adds to a set of at most `itemsMax` items and drops the oldest, so that a city may run for weeks. */
export function addBounded<T>(items: Set<T>, item: T, itemsMax: number): void {
  items.add(item);
  const [oldest] = items;
  if (items.size > itemsMax && oldest !== undefined) items.delete(oldest);
}
