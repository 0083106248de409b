import { distanceMetres, type LatLng } from '@contracts/geo.ts';

/** A point in metres east (`x`) and north (`y`) of an origin. */
export interface PlanePoint {
  x: number;
  y: number;
}

/**
 * Projects points around `origin` onto a plane. Within 100 km of it, distances are wrong by less than 1%, also
 * across the date line.
 */
export function createPlane(origin: LatLng): (point: LatLng) => PlanePoint {
  const degreeMetres = distanceMetres({ lat: 0, lng: 0 }, { lat: 1, lng: 0 });
  const lngMetres = degreeMetres * Math.cos((origin.lat * Math.PI) / 180);
  return ({ lat, lng }) => ({
    x: (((((lng - origin.lng + 540) % 360) + 360) % 360) - 180) * lngMetres,
    y: (lat - origin.lat) * degreeMetres,
  });
}
