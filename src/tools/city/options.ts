import { type ParsedArguments, parseOptions } from '../command/options.ts';

/** The parsed arguments of `bun run city`. */
export interface CityArguments {
  url: string | undefined;
  drivers: number;
  trips: number;
  seed: number;
  demandFile: string | undefined;
  timeScale: number;
  ratePerSecond: number | undefined;
  declineRate: number;
  darkRate: number;
  cancelRate: number;
  declinedCardRate: number;
  json: boolean;
}

export const usage = `bun run city – simulate the drivers and riders of a city, over the public API only

  --url URL               the edge (default: the running dev or stack of this folder, else http://127.0.0.1:8080)
  --drivers N             number of drivers (200)
  --trips N               number of ride requests, or "endless" (300)
  --seed N                the same seed gives the same demand and behaviour (7)
  --demand FILE.csv       recorded demand with the columns requested_at,pickup_lat,pickup_lng,dropoff_lat,dropoff_lng
                          (default: generated over Ho Chi Minh City)
  --time-scale X          simulated seconds per real second: a 10-minute ride takes 600/X s (20)
  --rate-per-second X     ride requests per real second (default: keeps about half of the drivers busy)
  --decline-rate X        share of offers that drivers decline (0.05)
  --dark-rate X           share of offers after which drivers disconnect for a while without an answer (0.01)
  --cancel-rate X         share of trips that riders or drivers cancel (0.03)
  --declined-card-rate X  share of riders with a card that is declined (0)
  --json                  print one JSON object as the last line of stdout; progress goes to stderr
  --help                  show this help

Exit code: 0 success, 1 a violation or an unprovoked error, 2 wrong usage or no server. Ctrl-C lets
active rides end; a second one exits at once.`;

const names = {
  url: { type: 'string' },
  drivers: { type: 'string', default: '200' },
  trips: { type: 'string', default: '300' },
  seed: { type: 'string', default: '7' },
  demand: { type: 'string' },
  'time-scale': { type: 'string', default: '20' },
  'rate-per-second': { type: 'string' },
  'decline-rate': { type: 'string', default: '0.05' },
  'dark-rate': { type: 'string', default: '0.01' },
  'cancel-rate': { type: 'string', default: '0.03' },
  'declined-card-rate': { type: 'string', default: '0' },
} as const;

export const parseArguments = (args: string[]): ParsedArguments<CityArguments> =>
  parseOptions(args, names, ({ values, number, integer, addError }) => {
    const { url, trips, json } = values;
    const rate = values['rate-per-second'];
    if (url !== undefined && !isHttpUrl(url))
      addError(`--url must be an http:// or https:// URL, not "${url}"`);
    return {
      url,
      drivers: integer('drivers', values.drivers, 1, 100_000),
      trips: trips === 'endless' ? Number.POSITIVE_INFINITY : integer('trips', trips, 1, 1e7),
      seed: integer('seed', values.seed, 0, 2 ** 32 - 1),
      demandFile: values.demand,
      timeScale: number('time-scale', values['time-scale'], 0.1, 1000),
      ratePerSecond: rate === undefined ? undefined : number('rate-per-second', rate, 0.001, 10_000),
      declineRate: number('decline-rate', values['decline-rate'], 0, 1),
      darkRate: number('dark-rate', values['dark-rate'], 0, 1),
      cancelRate: number('cancel-rate', values['cancel-rate'], 0, 1),
      declinedCardRate: number('declined-card-rate', values['declined-card-rate'], 0, 1),
      json,
    };
  });

const isHttpUrl = (text: string): boolean => /^https?:$/.test(URL.parse(text)?.protocol ?? '');
