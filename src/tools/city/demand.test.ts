import { describe, expect, test } from 'bun:test';
import { products } from '@contracts/drivers.ts';
import { distanceMetres } from '@contracts/geo.ts';
import { createSeededRandom } from '@platform/random.ts';
import fc from 'fast-check';
import { type Demand, type DemandModel, productOfDriver, tripMetresMin } from './demand.ts';
import { createRecordedDemand, type DemandRow, parseDemand } from './demand-csv.ts';
import { generatedTripMetresMax, hoChiMinhCity } from './demand-generator.ts';

function first(model: DemandModel, trips: number, ratePerSecond: number, seed: number): Demand[] {
  const requests = model.requests(ratePerSecond, createSeededRandom(seed));
  return Array.from({ length: trips }, () => requests.next().value);
}

describe('generated demand', () => {
  test('is the same for the same seed and different for another', () => {
    expect(first(hoChiMinhCity, 50, 2, 7)).toEqual(first(hoChiMinhCity, 50, 2, 7));
    expect(first(hoChiMinhCity, 50, 2, 7)).not.toEqual(first(hoChiMinhCity, 50, 2, 8));
  });

  test('is in order of time at the given rate', () => {
    const demand = first(hoChiMinhCity, 3000, 2.5, 1);
    const times = demand.map(({ atSeconds }) => atSeconds);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(3000 / (times.at(-1) ?? 0)).toBeCloseTo(2.5, 0);
  });

  test('has realistic trips: none too short, none across the country, most of them short', () => {
    const lengths = first(hoChiMinhCity, 2000, 1, 3)
      .map(({ pickup, dropoff }) => distanceMetres(pickup, dropoff))
      .sort((a, b) => a - b);
    expect(lengths[0]).toBeGreaterThanOrEqual(tripMetresMin * 0.99);
    expect(lengths.at(-1)).toBeLessThanOrEqual(generatedTripMetresMax * 1.01);
    expect(lengths[1000]).toBeGreaterThan(2_500);
    expect(lengths[1000]).toBeLessThan(4_000);
  });

  test('requests every product', () => {
    expect(new Set(first(hoChiMinhCity, 200, 1, 5).map(({ product }) => product)).size).toBe(products.length);
  });
});

test('matches the vehicle types of drivers, also for few drivers', () => {
  const productsOfDrivers = (drivers: number) =>
    Array.from({ length: drivers }, (_, index) => productOfDriver(index));
  const share = (drivers: number, product: string) =>
    productsOfDrivers(drivers).filter((driverProduct) => driverProduct === product).length / drivers;
  expect(new Set(productsOfDrivers(12)).size).toBe(products.length);
  expect(share(200, 'bike')).toBeCloseTo(0.5, 1);
  expect(share(200, 'car')).toBeCloseTo(0.4, 1);
  expect(share(200, 'car_xl')).toBeCloseTo(0.1, 1);
});

const header = 'requested_at,pickup_lat,pickup_lng,dropoff_lat,dropoff_lng,fare_usd';

describe('a demand file', () => {
  test('may have its columns in any order, quotes, a byte order mark and either line end', () => {
    const file = parseDemand(
      '\uFEFF"dropoff_lat",dropoff_lng,Requested_At,pickup_lat,pickup_lng\r\n"41.9",-87.6,2013-01-01T02:30:00Z,41.8,-87.7\r\n41.9,-87.6,1357007400,41.8,-87.7\n',
    );
    if (file.kind !== 'read') throw new Error(file.message);
    expect(file.invalid).toEqual([]);
    expect(file.rows).toEqual([
      { secondOfDay: 9000, pickup: { lat: 41.8, lng: -87.7 }, dropoff: { lat: 41.9, lng: -87.6 } },
      { secondOfDay: 9000, pickup: { lat: 41.8, lng: -87.7 }, dropoff: { lat: 41.9, lng: -87.6 } },
    ]);
  });

  test('with a wrong header is rejected with the missing columns', () => {
    const file = parseDemand('time,pickup_lat,pickup_lng\n1,2,3\n');
    expect(file).toEqual({
      kind: 'unusable',
      message: expect.stringContaining('missing: requested_at, dropoff_lat, dropoff_lng'),
    });
  });

  test('without a valid row is rejected with the reason of the first', () => {
    expect(parseDemand(`${header}\n`)).toEqual({
      kind: 'unusable',
      message: expect.stringContaining('the file has no rows'),
    });
    expect(parseDemand(`${header}\n1357007400,410,2,3,4,5\n`)).toEqual({
      kind: 'unusable',
      message: expect.stringContaining('line 2: the pickup is not a valid coordinate: "410,2"'),
    });
  });

  test('reports invalid rows by line and uses the others', () => {
    const lines = [
      header,
      '1357007400,41.9,-87.6,41.8,-87.7,1',
      'soon,41.9,-87.6,41.8,-87.7,1',
      '',
      '1357007400,41.9,-87.6,41.8',
      '1357007400,41.9,-87.6,,-87.7,1',
      '1357007400,"41.9,-87.6,41.8,-87.7,1',
    ];
    const file = parseDemand(lines.join('\n'));
    if (file.kind !== 'read') throw new Error(file.message);
    expect(file.rows.length).toBe(1);
    expect(file.invalid.map(({ line }) => line)).toEqual([3, 5, 6, 7]);
    expect(file.invalid[1]?.reason).toBe('has 4 cells instead of 6');
  });

  test('is parsed exactly as written, for any numbers', () => {
    // -0 is parsed as 0.
    const degrees = (most: number) => fc.double({ min: -most, max: most, noNaN: true }).map((one) => one + 0);
    const row = fc.record({
      at: fc.integer({ min: 0, max: 2_000_000_000 }),
      lat: degrees(80),
      lng: degrees(179),
    });
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 20 }), (rows) => {
        const text = [
          header,
          ...rows.map(({ at, lat, lng }) => `${at},${lat},${lng},${lng / 3 + 0},${lat},0`),
        ];
        const file = parseDemand(text.join('\n'));
        if (file.kind !== 'read') throw new Error(file.message);
        expect(file.rows).toEqual(
          rows.map(({ at, lat, lng }) => ({
            secondOfDay: at % 86_400,
            pickup: { lat, lng },
            dropoff: { lat: lng / 3 + 0, lng: lat },
          })),
        );
      }),
    );
  });
});

describe('recorded demand', () => {
  const hourOf = (row: number) => [3, 9, 9, 9, 9, 18, 18, 18, 18, 18][row % 10] ?? 0;
  const rows: DemandRow[] = Array.from({ length: 100 }, (_, index) => ({
    secondOfDay: hourOf(index) * 3600,
    pickup: { lat: 41.8 + (index % 10) / 100, lng: -87.6 },
    dropoff: { lat: 41.9, lng: -87.7 },
  }));

  test('keeps the distribution over the day, compressed to the rate', () => {
    const demand = first(createRecordedDemand(rows, 100), 100, 2, 1);
    const hours = demand.map(({ atSeconds }) => Math.round((atSeconds / 50) * 24));
    const share = (hour: number) => hours.filter((one) => one === hour).length / 100;
    expect([share(3), share(9), share(18)]).toEqual([0.1, 0.4, 0.5]);
  });

  test('uses every row once before any repeats, moved by a few hundred metres', () => {
    const demand = first(createRecordedDemand(rows, 100), 100, 2, 1);
    for (const lat of [41.8, 41.85, 41.89]) {
      const near = demand.filter(({ pickup }) => Math.abs(pickup.lat - lat) < 0.004);
      expect(near.length).toBeGreaterThan(5);
    }
    const exact = demand.filter(({ pickup }) => rows.some((row) => row.pickup.lat === pickup.lat));
    expect(exact).toEqual([]);
  });

  test('continues with another day after the first', () => {
    const demand = first(createRecordedDemand(rows, Number.POSITIVE_INFINITY), 2500, 10, 1);
    const times = demand.map(({ atSeconds }) => atSeconds);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(demand.map(({ index }) => index)).toEqual(demand.map((_, index) => index));
    expect(times[1500]).toBeGreaterThan(100);
  });

  test('never requests a ride to the pickup itself', () => {
    const here = { lat: 41.8, lng: -87.6 };
    const still = createRecordedDemand([{ secondOfDay: 0, pickup: here, dropoff: here }], 50);
    for (const { pickup, dropoff } of first(still, 50, 1, 9))
      expect(distanceMetres(pickup, dropoff)).toBeGreaterThanOrEqual(tripMetresMin);
  });
});
