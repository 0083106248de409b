import { type Static, Type } from '@sinclair/typebox';

/** A point on the ground, WGS84 degrees. */
export const LatLng = Type.Object(
  {
    lat: Type.Number({ minimum: -90, maximum: 90, description: 'degrees, WGS84' }),
    lng: Type.Number({ minimum: -180, maximum: 180, description: 'degrees, WGS84' }),
  },
  { additionalProperties: false },
);
export type LatLng = Static<typeof LatLng>;

const earthRadiusMetres = 6_371_008.8;
const radians = (degrees: number) => (degrees * Math.PI) / 180;

/** Great-circle distance in metres (haversine, mean Earth radius; error below 0.6%). */
export function distanceMetres(a: LatLng, b: LatLng): number {
  const halfLat = Math.sin(radians(b.lat - a.lat) / 2);
  const halfLng = Math.sin(radians(b.lng - a.lng) / 2);
  const h = halfLat * halfLat + Math.cos(radians(a.lat)) * Math.cos(radians(b.lat)) * halfLng * halfLng;
  return 2 * earthRadiusMetres * Math.asin(Math.min(1, Math.sqrt(h)));
}

/**
 * Returns an upper bound of `distanceMetres` at a tenth of its cost: the distance along the meridian plus the
 * difference in longitude measured at the equator, the longest parallel.
 */
export function distanceMetresUpperBound(a: LatLng, b: LatLng): number {
  return earthRadiusMetres * radians(Math.abs(b.lat - a.lat) + Math.abs(b.lng - a.lng));
}

/** Returns the point `eastMetres` and `northMetres` away from `from`, by a flat-earth step that is accurate within a city. */
export function offsetPoint(from: LatLng, eastMetres: number, northMetres: number): LatLng {
  const lat = from.lat + (northMetres / earthRadiusMetres) * (180 / Math.PI);
  const lng = from.lng + ((eastMetres / earthRadiusMetres) * (180 / Math.PI)) / Math.cos(radians(from.lat));
  return { lat: Math.max(-90, Math.min(90, lat)), lng: ((lng + 540) % 360) - 180 };
}
