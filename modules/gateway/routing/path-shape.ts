const idLength = 36;

/**
 * Replaces ids in a path with `*`, so that requests to one route share a cache key. Every segment of 36 characters
 * counts as an id; no route has a name of that length.
 */
export function pathShapeOf(path: string): string {
  if (path.length <= idLength) return path;
  let shape = '';
  let from = 0;
  for (let slash = 0; slash >= 0; ) {
    const next = path.indexOf('/', slash + 1);
    const end = next < 0 ? path.length : next;
    if (end - slash - 1 === idLength) {
      shape += `${path.slice(from, slash)}/*`;
      from = end;
    }
    slash = next;
  }
  return shape + path.slice(from);
}
