import type { Product } from '@contracts/drivers.ts';
import type { LatLng } from '@contracts/geo.ts';

/** About 1.1 km, as wide as a city's density stays much the same. */
const areaDegrees = 0.01;
// Some cities, each with all products: about 1 MB.
const areasMax = 8_192;
const unknownRadiusMetres = 500;

/** How far the last searches had to look, by area: a guess, which costs time where it is wrong, and never a driver. */
export function createDensities() {
  const perSquareMetre = new Map<string, number>();

  return {
    /**
     * Of a circle that probably holds so many free drivers: one standard deviation more. With less, many
     * searches find too few and look again; with more, all read too many.
     */
    radiusMetres(point: LatLng, product: Product | undefined, count: number): number {
      const density = perSquareMetre.get(areaOf(point, product));
      if (density === undefined) return unknownRadiusMetres;
      return Math.sqrt((count + Math.sqrt(count)) / (Math.PI * density));
    },
    /** So many were there within the radius. */
    learn(point: LatLng, product: Product | undefined, count: number, radiusMetres: number): void {
      const area = areaOf(point, product);
      const seen = Math.max(count, 0.5) / (Math.PI * Math.max(radiusMetres, 1) ** 2);
      const before = perSquareMetre.get(area) ?? seen;
      perSquareMetre.delete(area);
      perSquareMetre.set(area, Math.sqrt(before * seen));
      if (perSquareMetre.size > areasMax) perSquareMetre.delete(perSquareMetre.keys().next().value ?? area);
    },
  };
}

const areaOf = ({ lat, lng }: LatLng, product = 'all') =>
  `${product} ${Math.floor(lat / areaDegrees)} ${Math.floor(lng / areaDegrees)}`;
