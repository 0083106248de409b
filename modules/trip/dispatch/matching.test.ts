import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { type CostEdge, matchAtMinCost } from './matching.ts';

type Graph = CostEdge[][];

const graphs: fc.Arbitrary<Graph> = fc.array(
  fc.uniqueArray(fc.record({ column: fc.integer({ min: 0, max: 5 }), cost: fc.nat({ max: 50 }) }), {
    selector: ({ column }) => column,
    maxLength: 4,
  }),
  { maxLength: 6 },
);

/** Finds the best of all matchings: the most rows, then the least cost. */
function bruteForce(
  graph: Graph,
  row = 0,
  used: ReadonlySet<number> = new Set(),
): { served: number; cost: number } {
  const edges = graph[row];
  if (edges === undefined) return { served: 0, cost: 0 };
  let best = bruteForce(graph, row + 1, used);
  for (const { column, cost } of edges) {
    if (used.has(column)) continue;
    const rest = bruteForce(graph, row + 1, new Set([...used, column]));
    const found = { served: rest.served + 1, cost: rest.cost + cost };
    if (found.served > best.served || (found.served === best.served && found.cost < best.cost)) best = found;
  }
  return best;
}

function worthOf(graph: Graph, matching: readonly (number | undefined)[]) {
  const costs = matching.flatMap((column, row) =>
    column === undefined ? [] : [graph[row]?.find((edge) => edge.column === column)?.cost ?? Number.NaN],
  );
  return { served: costs.length, cost: costs.reduce((sum, cost) => sum + cost, 0) };
}

describe('the minimum-cost matching', () => {
  test('serves the greatest number of rows at the least cost', () => {
    fc.assert(
      fc.property(graphs, (graph) => {
        const matching = matchAtMinCost(graph);
        const columns = matching.filter((column) => column !== undefined);
        expect(new Set(columns).size).toBe(columns.length);
        expect(worthOf(graph, matching)).toEqual(bruteForce(graph));
      }),
      { numRuns: 3_000 },
    );
  });

  test('gives a single row its cheapest column', () => {
    expect(
      matchAtMinCost([
        [
          { column: 0, cost: 9 },
          { column: 1, cost: 4 },
        ],
      ]),
    ).toEqual([1]);
  });

  test('moves a row to its next best column if that is cheaper in total', () => {
    expect(
      matchAtMinCost([
        [
          { column: 0, cost: 1 },
          { column: 1, cost: 2 },
        ],
        [
          { column: 0, cost: 1 },
          { column: 1, cost: 10 },
        ],
      ]),
    ).toEqual([1, 0]);
  });

  test('accepts rows without edges, and no rows at all', () => {
    expect(matchAtMinCost([])).toEqual([]);
    expect(matchAtMinCost([[], [{ column: 0, cost: 1 }], []])).toEqual([undefined, 0, undefined]);
  });
});
