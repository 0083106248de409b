import { asDriverId, type DriverId } from '../../src/contracts/ids.ts';
import { systemClock as clock } from '../../src/platform/clock.ts';
import { createPeople, openSchema } from './people.ts';

export interface BenchDriver {
  id: DriverId;
  token: string;
}

const vehicle = { product: 'car', plate: '51A-123.45', model: 'Vios', colour: 'white' };
const rowsPerStatement = 1_000;

/** Creates `count` available drivers. */
export async function createDrivers(
  databaseUrl: string,
  signingKeySecret: string,
  count: number,
): Promise<BenchDriver[]> {
  const people = await createPeople(databaseUrl, signingKeySecret, 'driver', count);
  const drivers = openSchema(databaseUrl, 'driver');
  try {
    for (let from = 0; from < count; from += rowsPerStatement) {
      const part = people.slice(from, from + rowsPerStatement).map(({ id }) => id);
      await drivers.primary`
        insert into drivers (id, version, status, wants, vehicle, engagements, forgotten_until_ms, updated_at_ms)
        select id, 1, 'available', 'available', ${drivers.primary.json(vehicle)}, '[]'::jsonb, 0, ${clock.nowMs()}
        from unnest(${part}::uuid[]) as id`;
    }
    return people.map(({ id, token }) => ({ id: asDriverId(id), token }));
  } finally {
    await drivers.close();
  }
}
