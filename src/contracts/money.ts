import { type Static, Type } from '@sinclair/typebox';

/** ISO 4217. `VND` has no minor unit: 1 minor = 1 đồng. `USD`: 1 minor = 1 cent. */
export const Currency = Type.Union([Type.Literal('VND'), Type.Literal('USD')]);
export type Currency = Static<typeof Currency>;

/** An amount in integer minor units of its currency. Within 2^53, so exact in a JSON number. */
export const Money = Type.Object(
  {
    amountMinor: Type.Integer({ minimum: -9e15, maximum: 9e15, description: 'integer minor units' }),
    currency: Currency,
  },
  { additionalProperties: false },
);
export type Money = Static<typeof Money>;

/** Shares of amounts and distances are basis points, hundredths of a percent: this many are the whole. */
export const basisPointsPerWhole = 10_000;
