import { distanceMetres, type LatLng, offsetPoint } from '@contracts/geo.ts';
import type { Random } from '@platform/random.ts';
import { type DemandModel, drawProduct, ensureTripDistance, tripMetresMin } from './demand.ts';
import { drawBetween, drawNormal, pickWeighted, scatterAround } from './random-draws.ts';

/** Centres of demand in Ho Chi Minh City. Weights are approximate shares of trips. */
const centres = [
  { name: 'Bến Thành, District 1', lat: 10.7725, lng: 106.698, sigmaMetres: 1100, weight: 5 },
  { name: 'District 3', lat: 10.784, lng: 106.684, sigmaMetres: 1000, weight: 3 },
  { name: 'Bình Thạnh', lat: 10.8035, lng: 106.709, sigmaMetres: 1300, weight: 3 },
  { name: 'Phú Nhuận', lat: 10.799, lng: 106.678, sigmaMetres: 900, weight: 2 },
  { name: 'Tân Bình and the airport', lat: 10.814, lng: 106.664, sigmaMetres: 1200, weight: 3 },
  { name: 'Chợ Lớn, District 5', lat: 10.7545, lng: 106.664, sigmaMetres: 1000, weight: 2.5 },
  { name: 'District 10', lat: 10.773, lng: 106.667, sigmaMetres: 900, weight: 2 },
  { name: 'Gò Vấp', lat: 10.838, lng: 106.666, sigmaMetres: 1400, weight: 1.5 },
  { name: 'Phú Mỹ Hưng, District 7', lat: 10.729, lng: 106.719, sigmaMetres: 1200, weight: 1.5 },
  { name: 'Thảo Điền, Thủ Đức', lat: 10.803, lng: 106.737, sigmaMetres: 1000, weight: 1 },
  { name: 'the universities, Thủ Đức', lat: 10.87, lng: 106.803, sigmaMetres: 1200, weight: 0.5 },
] as const;

// Lognormal: most trips are short and a few cross the city. Median 3.2 km, 95% below 8.2 km.
const tripMetresMedian = 3200;
const tripLengthSigma = 0.57;
export const generatedTripMetresMax = 12_000;

export const hoChiMinhCity: DemandModel = { requests, randomPoint };

function randomPoint(random: Random): LatLng {
  const centre = pickWeighted(centres, random);
  return scatterAround(centre, centre.sigmaMetres, random);
}

/** Requests form a Poisson process. Each trip leads towards another centre of demand. */
function* requests(ratePerSecond: number, random: Random): Generator<ReturnType<typeof request>, never> {
  let atSeconds = 0;
  for (let index = 0; ; index++) {
    atSeconds += -Math.log(1 - random.next()) / ratePerSecond;
    yield request(index, atSeconds, random);
  }
}

function request(index: number, atSeconds: number, random: Random) {
  const product = drawProduct(random);
  const pickup = randomPoint(random);
  const metres = Math.min(
    generatedTripMetresMax,
    Math.max(tripMetresMin, tripMetresMedian * Math.exp(tripLengthSigma * drawNormal(random))),
  );
  const dropoff = ensureTripDistance(
    pickup,
    pointTowards(pickup, randomPoint(random), metres, random),
    random,
  );
  return { index, atSeconds, pickup, dropoff, product };
}

function pointTowards(from: LatLng, to: LatLng, metres: number, random: Random): LatLng {
  const east = Math.sign(to.lng - from.lng) * distanceMetres(from, { lat: from.lat, lng: to.lng });
  const north = Math.sign(to.lat - from.lat) * distanceMetres(from, { lat: to.lat, lng: from.lng });
  const angle = Math.atan2(east, north) + drawBetween(random, -0.4, 0.4);
  return offsetPoint(from, Math.sin(angle) * metres, Math.cos(angle) * metres);
}
