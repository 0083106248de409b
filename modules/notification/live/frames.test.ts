import { describe, expect, test } from 'bun:test';
import type { EventId } from '@contracts/ids.ts';
import { EventFrame } from '@contracts/realtime.ts';
import { Value } from '@sinclair/typebox/value';
import fc from 'fast-check';
import { encodeEventFrame, encodeFrameBody, parseFrame } from './frames.ts';

const id = '00000000-0000-7000-9000-000000000001' as EventId;

describe('event frames', () => {
  test('a body and a seq form a frame of the contract for any data', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.integer({ min: 1 }), (data, seq) => {
        const text = encodeEventFrame(seq, encodeFrameBody({ id, event: 'trip.offered', data }));
        const frame: unknown = JSON.parse(text);
        expect(Value.Check(EventFrame, frame)).toBe(true);
        expect(frame).toEqual(
          JSON.parse(JSON.stringify({ type: 'event', seq, id, event: 'trip.offered', data })),
        );
      }),
    );
  });
});

describe('frames from clients', () => {
  const fix = { lat: 10.77, lng: 106.7 };
  const frames = [
    { type: 'resume', after: 0 },
    { type: 'ack', seq: 7 },
    { type: 'location', ...fix },
    {
      type: 'location',
      ...fix,
      recordedAt: '2026-11-22T08:00:00.000Z',
      accuracyMetres: 5,
      headingDegrees: 90,
      speedMetresPerSecond: 8,
    },
    { type: 'locations', points: [fix, { ...fix, accuracyMetres: 3 }] },
  ];
  for (const frame of frames)
    test(`${JSON.stringify(frame).slice(0, 60)} is parsed unchanged`, () => {
      expect(parseFrame(JSON.stringify(frame))).toEqual({ kind: 'frame', frame } as never);
    });

  const invalid = [
    {},
    [],
    { type: 'toString' },
    { type: '__proto__' },
    { type: 1 },
    { type: 'resume' },
    { type: 'resume', after: -1 },
    { type: 'resume', after: 1.5 },
    { type: 'resume', after: '1' },
    { type: 'resume', after: 1, more: true },
    { type: 'ack', seq: null },
    { type: 'location', lat: 91, lng: 0 },
    { type: 'location', lat: 10 },
    { type: 'location', ...fix, driverId: id },
    { type: 'location', ...fix, recordedAt: 'yesterday' },
    { type: 'locations', points: [] },
    { type: 'locations', points: [{ lat: '10', lng: 106 }] },
    { type: 'locations', points: [fix], driverId: id },
    { type: 'event', seq: 1 },
  ];
  for (const frame of invalid)
    test(`${JSON.stringify(frame).slice(0, 60)} is rejected`, () => {
      expect(parseFrame(JSON.stringify(frame))).toEqual({ kind: 'refused', code: 'realtime.frame_invalid' });
    });

  for (const text of ['', 'hello', '1', 'null', '"ack"', '{', '{"type":"ack","seq":NaN}', '\u0000'])
    test(`${JSON.stringify(text)} is rejected because it is not a JSON object`, () => {
      expect(parseFrame(text)).toEqual({ kind: 'refused', code: 'realtime.frame_malformed' });
    });

  test('a number beyond the range of doubles is rejected', () => {
    expect(parseFrame('{"type":"location","lat":1e999,"lng":1}').kind).toBe('refused');
    expect(parseFrame('{"type":"resume","after":1e999}').kind).toBe('refused');
  });

  test('a binary frame is rejected', () => {
    expect(parseFrame(new TextEncoder().encode('{"type":"ack","seq":1}'))).toEqual({
      kind: 'refused',
      code: 'realtime.frame_malformed',
    });
  });

  test('no text makes the parser throw', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => void parseFrame(text)));
  });
});
