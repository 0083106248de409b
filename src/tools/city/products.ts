import type { Product } from '@contracts/drivers.ts';

/** What the city needs to know of each product. */
export interface CityProduct {
  /** Share of the demand, and of the drivers, relative to the other products. */
  weight: number;
  /** Average including stops. In Ho Chi Minh City motorbikes pass the queues that cars wait in. */
  baseSpeedMetresPerSecond: number;
  models: readonly string[];
}

export const cityProducts: Readonly<Record<Product, CityProduct>> = {
  bike: {
    weight: 5,
    baseSpeedMetresPerSecond: 7.5,
    models: ['Honda Wave', 'Honda Vision', 'Yamaha Sirius', 'VinFast Feliz'],
  },
  car: {
    weight: 4,
    baseSpeedMetresPerSecond: 6.5,
    models: ['Toyota Vios', 'Hyundai Accent', 'VinFast VF 5', 'Kia Morning'],
  },
  car_xl: {
    weight: 1,
    baseSpeedMetresPerSecond: 6,
    models: ['Toyota Innova', 'Mitsubishi Xpander', 'VinFast VF 9'],
  },
};
