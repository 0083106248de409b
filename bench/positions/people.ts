import { createKeyring } from '../../modules/user/keys/keyring.ts';
import { createSecretBox } from '../../modules/user/keys/secret-box.ts';
import { createAccessTokens } from '../../modules/user/sessions/access-tokens.ts';
import { createUserStore } from '../../modules/user/store/store.ts';
import type { PersonId } from '../../src/contracts/ids.ts';
import type { Role } from '../../src/contracts/people.ts';
import { systemClock as clock } from '../../src/platform/clock.ts';
import { createIds } from '../../src/platform/ids.ts';
import { createLog } from '../../src/platform/log.ts';
import { createDatabase, type Database } from '../../src/platform/postgres/database.ts';
import { systemRandom as random } from '../../src/platform/random.ts';

export interface BenchPerson {
  id: PersonId;
  token: string;
}

const log = createLog('error');
const tokenLifeSeconds = 3_600;

export const openSchema = (databaseUrl: string, schema: string): Database =>
  createDatabase({ url: databaseUrl, schema, poolMax: 2, statementTimeoutMs: 10_000, log });

/**
 * Creates `count` people, each with an access token of their own login, signed with the key of the running
 * system. This is like registering them, without the cost of a password hash each.
 */
export async function createPeople(
  databaseUrl: string,
  signingKeySecret: string,
  role: Role,
  count: number,
): Promise<BenchPerson[]> {
  const ids = createIds(clock, random);
  const users = openSchema(databaseUrl, 'user');
  try {
    const keyring = createKeyring({
      store: createUserStore(users),
      secretBox: createSecretBox(signingKeySecret, random),
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
    const made: BenchPerson[] = [];
    for (let n = 0; n < count; n++) {
      const id = ids<PersonId>();
      made.push({ id, token: (await tokens.sign({ id, role, name: `Person ${n}` }, ids())).token });
    }
    return made;
  } finally {
    await users.close();
  }
}
