import { createKeyring } from '../../modules/user/keyring.ts';
import { createSeal } from '../../modules/user/seal.ts';
import { createUserStore } from '../../modules/user/store/index.ts';
import { createAccessTokens } from '../../modules/user/tokens.ts';
import { asDriver, type DriverId, type PersonId } from '../../src/contracts/ids.ts';
import { systemClock as clock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { createLog } from '../../src/platform/log.ts';
import { createDatabase } from '../../src/platform/postgres/database.ts';
import { systemRandom as random } from '../../src/platform/random.ts';

export interface BenchDriver {
  id: DriverId;
  token: string;
}

const log = createLog('error');
const tokenLifeSeconds = 3_600;
const vehicle = { product: 'car', plate: '51A-123.45', model: 'Vios', colour: 'white' };
const rowsPerStatement = 1_000;

/**
 * So many drivers at work, each with an access token of a login of his own, signed with the key of the
 * running system: as if they had registered, without the price of a password hash each.
 */
export async function makeDrivers(
  databaseUrl: string,
  signingKeySecret: string,
  count: number,
): Promise<BenchDriver[]> {
  const ids = createIds(clock, random);
  const open = (schema: string) =>
    createDatabase({ url: databaseUrl, schema, poolMax: 2, statementTimeoutMs: 10_000, log });
  const [users, drivers] = [open('user'), open('driver')];
  try {
    const keyring = createKeyring({
      store: createUserStore(users),
      seal: createSeal(signingKeySecret, random),
      clock,
      random,
      log,
      refreshMs: 60_000,
      lifeMs: 86_400_000,
      tokenLifeMs: tokenLifeSeconds * 1_000,
    });
    const tokens = createAccessTokens({
      keyring,
      clock,
      ids,
      issuer: 'uit-go',
      audience: 'uit-go',
      lifeSeconds: tokenLifeSeconds,
    });
    const made: BenchDriver[] = [];
    for (let n = 0; n < count; n++) {
      const id = ids<PersonId>();
      made.push({ id: asDriver(id), token: (await tokens.sign({ id, role: 'driver' }, ids())).token });
    }
    for (let from = 0; from < count; from += rowsPerStatement) {
      const part = made.slice(from, from + rowsPerStatement).map(({ id }) => id);
      await drivers.primary`
        insert into drivers (id, version, status, wants, vehicle, engagements, forgotten_until_ms, updated_at_ms)
        select id, 1, 'available', 'available', ${drivers.primary.json(vehicle)}, '[]'::jsonb, 0, ${clock.nowMs()}
        from unnest(${part}::uuid[]) as id`;
    }
    return made;
  } finally {
    await Promise.all([users.close(), drivers.close()]);
  }
}
