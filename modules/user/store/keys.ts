import type { Sql } from '@platform/postgres/database.ts';

export interface SigningKeyRow {
  /** 1, 2, 3 …: one key for each. */
  generation: number;
  kid: string;
  publicX: string;
  sealedSeed: Uint8Array;
  activeFromMs: number;
  retiredAtMs: number | null;
}

export function createSigningKeyStore(sql: Sql) {
  return {
    async signingKeys(): Promise<SigningKeyRow[]> {
      return sql<SigningKeyRow[]>`
        select generation, kid, public_x as "publicX", sealed_seed as "sealedSeed",
               active_from_ms as "activeFromMs", retired_at_ms as "retiredAtMs"
        from signing_keys`;
    },

    /** Keeps the key unless its generation has one already. */
    async addSigningKey(key: SigningKeyRow, nowMs: number): Promise<void> {
      await sql`
        insert into signing_keys
          (generation, kid, public_x, sealed_seed, created_at_ms, active_from_ms, retired_at_ms)
        values (${key.generation}, ${key.kid}, ${key.publicX}, ${key.sealedSeed}, ${nowMs},
                ${key.activeFromMs}, ${key.retiredAtMs})
        on conflict (generation) do nothing`;
    },
  };
}
