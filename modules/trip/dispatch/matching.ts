/** The cost of serving a row by a column: an integer, 0 or more. */
export interface CostEdge {
  column: number;
  cost: number;
}

/**
 * Minimum-cost matching of a sparse bipartite graph. `edges[row]` lists the columns that may serve a row.
 * Returns the column of each row, or undefined for a row without one. Of all matchings that serve the
 * greatest number of rows it returns a cheapest.
 *
 * Successive shortest augmenting paths with prices (Jonker and Volgenant, 1987): rows are added one by
 * one, and each may move others to their next best column. O(rows × (columns² + edges)): 64 rows of 8
 * edges among 100 columns take 0.4 ms.
 */
export function matchAtMinCost(edges: readonly (readonly CostEdge[])[]): (number | undefined)[] {
  const columns = 1 + Math.max(-1, ...edges.flat().map(({ column }) => column));
  // Each row gets a private dummy column that costs more than all edges together. So every row finds a
  // path, and leaving a row unserved is never cheaper than serving it.
  const wayOutCost = 1 + edges.flat().reduce((sum, { cost }) => sum + cost, 0);
  const graph = edges.map((own, row) => [...own, { column: columns + row, cost: wayOutCost }]);
  const matching: Matching = {
    rowOf: new Map(),
    columnOf: new Map(),
    rowPrice: new Map(),
    columnPrice: new Map(),
  };
  for (const row of graph.keys()) addRow(graph, matching, row);
  return graph.map((_, row) => {
    const column = matching.columnOf.get(row);
    return column === undefined || column >= columns ? undefined : column;
  });
}

/** Prices keep every edge's `cost - rowPrice - columnPrice` at 0 or more, and at 0 on matched edges. */
interface Matching {
  rowOf: Map<number, number>;
  columnOf: Map<number, number>;
  rowPrice: Map<number, number>;
  columnPrice: Map<number, number>;
}

/** Runs Dijkstra from the new row along alternating paths to the nearest free column, then flips that path. */
function addRow(graph: readonly (readonly CostEdge[])[], matching: Matching, newRow: number): void {
  const { rowOf, rowPrice, columnPrice } = matching;
  const distance = new Map<number, number>();
  const from = new Map<number, number>();
  const settled = new Map<number, number>();
  let row: number | undefined = newRow;
  let reached = 0;
  let column = -1;
  while (row !== undefined) {
    for (const edge of graph[row] ?? []) {
      if (settled.has(edge.column)) continue;
      const step = edge.cost - (rowPrice.get(row) ?? 0) - (columnPrice.get(edge.column) ?? 0);
      if (reached + step >= (distance.get(edge.column) ?? Number.POSITIVE_INFINITY)) continue;
      distance.set(edge.column, reached + step);
      from.set(edge.column, row);
    }
    [column, reached] = nearest(distance);
    distance.delete(column);
    settled.set(column, reached);
    row = rowOf.get(column);
  }
  raisePrices(matching, newRow, settled, reached);
  flip(matching, newRow, from, column);
}

function nearest(distance: ReadonlyMap<number, number>): [column: number, distance: number] {
  let best: [number, number] = [-1, Number.POSITIVE_INFINITY];
  for (const [column, at] of distance) if (at < best[1]) best = [column, at];
  return best;
}

function raisePrices(
  { rowOf, rowPrice, columnPrice }: Matching,
  newRow: number,
  settled: ReadonlyMap<number, number>,
  reached: number,
): void {
  rowPrice.set(newRow, (rowPrice.get(newRow) ?? 0) + reached);
  for (const [column, at] of settled) {
    const row = rowOf.get(column);
    if (row === undefined) continue;
    rowPrice.set(row, (rowPrice.get(row) ?? 0) + reached - at);
    columnPrice.set(column, (columnPrice.get(column) ?? 0) - (reached - at));
  }
}

function flip(
  { rowOf, columnOf }: Matching,
  newRow: number,
  from: ReadonlyMap<number, number>,
  last: number,
): void {
  for (let column: number | undefined = last; column !== undefined; ) {
    const row: number = from.get(column) ?? newRow;
    const freed = columnOf.get(row);
    rowOf.set(column, row);
    columnOf.set(row, column);
    column = row === newRow ? undefined : freed;
  }
}
