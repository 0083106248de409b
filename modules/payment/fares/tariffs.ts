import type { Product } from '@contracts/drivers.ts';
import type { Currency } from '@contracts/money.ts';

/** The prices of a product in one currency. All amounts are integer minor units. */
export interface Tariff {
  baseMinor: number;
  perKmMinor: number;
  perMinuteMinor: number;
  /** The lowest fare. A multiple of `stepMinor`, so that rounding cannot fall below it. */
  minimumMinor: number;
  /** Fares are multiples of this amount, the smallest that people pay with. */
  stepMinor: number;
}

/** Prices for Ho Chi Minh City. Prices in US dollars are for the cards of visitors. */
export const tariffs: Record<Currency, Record<Product, Tariff>> = {
  VND: {
    bike: { baseMinor: 8_000, perKmMinor: 4_300, perMinuteMinor: 350, minimumMinor: 12_500, stepMinor: 500 },
    car: {
      baseMinor: 15_000,
      perKmMinor: 9_500,
      perMinuteMinor: 500,
      minimumMinor: 29_000,
      stepMinor: 1_000,
    },
    car_xl: {
      baseMinor: 20_000,
      perKmMinor: 12_000,
      perMinuteMinor: 600,
      minimumMinor: 36_000,
      stepMinor: 1_000,
    },
  },
  USD: {
    bike: { baseMinor: 50, perKmMinor: 25, perMinuteMinor: 3, minimumMinor: 100, stepMinor: 1 },
    car: { baseMinor: 120, perKmMinor: 65, perMinuteMinor: 8, minimumMinor: 300, stepMinor: 1 },
    car_xl: { baseMinor: 180, perKmMinor: 90, perMinuteMinor: 11, minimumMinor: 450, stepMinor: 1 },
  },
};
