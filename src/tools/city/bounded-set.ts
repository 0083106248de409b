/** Adds to a set that never holds more than `itemsMax`: the oldest are forgotten, so a city may run for weeks. */
export function addBounded<T>(items: Set<T>, item: T, itemsMax: number): void {
  items.add(item);
  const [oldest] = items;
  if (items.size > itemsMax && oldest !== undefined) items.delete(oldest);
}
