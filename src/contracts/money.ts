import { type Static, Type } from '@sinclair/typebox';

/** ISO 4217. `VND` has no minor unit: 1 minor = 1 đồng. `USD`: 1 minor = 1 cent. */
export const Currency = Type.Union([Type.Literal('VND'), Type.Literal('USD')]);
export type Currency = Static<typeof Currency>;

/** An amount in integer minor units of its currency. It stays within 2^53, so it is exact in a JSON number. */
export const Money = Type.Object(
  {
    amountMinor: Type.Integer({ minimum: -9e15, maximum: 9e15, description: 'integer minor units' }),
    currency: Currency,
  },
  { additionalProperties: false },
);
export type Money = Static<typeof Money>;

/** Shares of amounts and distances are given in basis points, hundredths of a percent: 10,000 are 100%. */
export const basisPointsPerWhole = 10_000;
