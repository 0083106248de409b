import { expect, test } from 'bun:test';
import { offsetMetres } from '@contracts/geo.ts';
import { drivenMetres } from './distance.ts';

const start = { lat: 10.7721, lng: 106.6983 };
const track = (...places: [east: number, north: number][]) =>
  places.map(([east, north], at) => ({ point: offsetMetres(start, east, north), recordedAtMs: at * 4_000 }));

test('around two corners the way is longer than the straight line', () => {
  expect(drivenMetres(track([0, 0], [300, 0], [300, 400], [0, 400]))).toBeCloseTo(1_000, 0);
});

test('a car that stands does not drive, however its position trembles', () => {
  const trembling = Array.from({ length: 100 }, (_, n): [number, number] => [(n % 3) * 4, (n % 2) * 5]);
  expect(drivenMetres(track(...trembling))).toBe(0);
});

test('a crawl of few metres a time counts', () => {
  const crawl = Array.from({ length: 101 }, (_, n): [number, number] => [n * 5, 0]);
  expect(drivenMetres(track(...crawl))).toBeGreaterThan(480);
});

test('no point and one point are no way', () => {
  expect(drivenMetres([])).toBe(0);
  expect(drivenMetres(track([5, 5]))).toBe(0);
});
