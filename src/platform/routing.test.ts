import { afterAll, beforeEach, expect, test } from 'bun:test';
import { createLog } from './log.ts';
import { createOsrmRouter, createStraightRouter } from './routing.ts';

const pickup = { lat: 10.7769, lng: 106.7009 };
const dropoff = { lat: 10.8231, lng: 106.6297 };
const atMs = Date.UTC(2026, 10, 22, 8);
const straight = createStraightRouter(7);

let asked: string[] = [];
let answer: () => Response | Promise<Response>;
const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  fetch: (request) => {
    asked.push(new URL(request.url).pathname);
    return answer();
  },
});
afterAll(() => server.stop(true));
beforeEach(() => {
  asked = [];
});

const osrm = (url = `http://127.0.0.1:${server.port}`) =>
  createOsrmRouter(url, 200, straight, createLog('silent'));

test('OSRM is asked with longitude first, and its route is taken in whole metres and seconds', async () => {
  answer = () => Response.json({ code: 'Ok', routes: [{ distance: 9_876.5, duration: 1_234.4 }] });
  expect(await osrm().route(pickup, dropoff, atMs)).toEqual({
    distanceMetres: 9_877,
    durationSeconds: 1_234,
  });
  expect(asked).toEqual(['/route/v1/driving/106.7009,10.7769;106.6297,10.8231']);
});

test('an answer that is wrong, late or none is an estimate instead', async () => {
  const estimate = await straight.route(pickup, dropoff, atMs);
  const wrong: (() => Response | Promise<Response>)[] = [
    () => Response.json({ code: 'NoRoute', routes: [] }),
    () => Response.json({ routes: [{ distance: -1, duration: 5 }] }),
    () => Response.json({ routes: [{ distance: 'far', duration: 1 }] }),
    () => Response.json([]),
    () => Response.json(null),
    () => new Response('<html>'),
    () => new Response('', { status: 500 }),
    () => new Promise<Response>(() => undefined),
  ];
  for (const one of wrong) {
    answer = one;
    expect(await osrm().route(pickup, dropoff, atMs)).toEqual(estimate);
  }
  expect(await osrm('http://127.0.0.1:1').route(pickup, dropoff, atMs)).toEqual(estimate);
});
