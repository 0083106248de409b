import { expect, test } from 'bun:test';
import { sampleTripEvent } from '@testing/events.ts';
import { maskPersonalData } from './mask.ts';

test('an event is shown without its positions and the names of its people', () => {
  const event = sampleTripEvent();
  const point = { lat: '***', lng: '***' };
  const rider = { ...event.data.rider, firstName: '***' };
  const driver = { ...event.data.driver, name: '***' };
  expect(maskPersonalData(event)).toEqual({
    ...event,
    data: { ...event.data, pickup: point, dropoff: point, rider, driver },
  });
});

test('positions are masked under other names, at any depth and in arrays', () => {
  const body = { points: [{ Latitude: 1, longitude: 2, at: 'x' }], geo: { coordinates: [106.7, 10.8] } };
  expect(maskPersonalData(body)).toEqual({
    points: [{ Latitude: '***', longitude: '***', at: 'x' }],
    geo: { coordinates: '***' },
  });
});

test('text that is not JSON is withheld', () => {
  expect(maskPersonalData('{"lat":10.77')).toBe('(12 characters, withheld)');
});

test('a body that is nested too deeply is cut off', () => {
  let body: object = { lat: 1 };
  for (let depth = 0; depth < 10_000; depth++) body = { inside: body };
  expect(JSON.stringify(maskPersonalData(body))).toContain('"***"');
});
