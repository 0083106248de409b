import type { Sql } from '@platform/postgres/database.ts';

export interface SigningKeyRow {
  /** 1, 2, 3 …: there is one key for each generation. */
  generation: number;
  kid: string;
  publicX: string;
  sealedSeed: Uint8Array;
  activeFromMs: number;
  retiredAtMs: number | null;
}

export function createSigningKeyStore(sql: Sql) {
  return {
    async findSigningKeys(): Promise<SigningKeyRow[]> {
      return sql<SigningKeyRow[]>`
        select generation, kid, public_x as "publicX", sealed_seed as "sealedSeed",
               active_from_ms as "activeFromMs", retired_at_ms as "retiredAtMs"
        from signing_keys`;
    },

    /**
     * Stores the key and lets all older ones end at `othersEndAtMs`. Changes nothing and returns false if
     * its generation already has a key.
     */
    async addSigningKey(key: SigningKeyRow, nowMs: number, othersEndAtMs: number): Promise<boolean> {
      const rows = await sql`
        with added as (
          insert into signing_keys
            (generation, kid, public_x, sealed_seed, created_at_ms, active_from_ms, retired_at_ms)
          values (${key.generation}, ${key.kid}, ${key.publicX}, ${key.sealedSeed}, ${nowMs},
                  ${key.activeFromMs}, ${key.retiredAtMs})
          on conflict (generation) do nothing
          returning generation
        ), ending as (
          update signing_keys k set retired_at_ms = ${othersEndAtMs} from added
          where k.generation < added.generation
            and (k.retired_at_ms is null or k.retired_at_ms > ${othersEndAtMs})
        )
        select generation from added`;
      return rows.length > 0;
    },

    /** Deletes the keys that ended before, with their private parts. */
    async deleteSigningKeys(endedBeforeMs: number): Promise<void> {
      await sql`delete from signing_keys where retired_at_ms < ${endedBeforeMs}`;
    },
  };
}
