import { expect, test } from 'bun:test';
import { connect, type Socket } from 'node:net';
import { createManualClock, systemClock } from '@platform/clock.ts';
import { until } from '@testing/until.ts';
import { newPerson, startTestInstance, type TestInstance, tripEventOf } from '../testing/harness.ts';

interface RawReader {
  socket: Socket;
  /** Complete WebSocket frames read so far: opcode and payload. */
  frames(): { opcode: number; payload: Buffer }[];
}

/** A WebSocket client that can pause reading. */
async function openRaw(instance: TestInstance, ticket: string): Promise<RawReader> {
  const socket = connect(instance.server.port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => void chunks.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk));
  socket.on('error', () => {});
  socket.write(
    [
      `GET /v1/realtime?ticket=${ticket} HTTP/1.1`,
      'Host: localhost',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      '\r\n',
    ].join('\r\n'),
  );
  await until(() => Buffer.concat(chunks).includes('welcome'));
  return { socket, frames: () => readFrames(Buffer.concat(chunks)) };
}

function readFrames(bytes: Buffer): { opcode: number; payload: Buffer }[] {
  const frames = [];
  let at = bytes.indexOf('\r\n\r\n') + 4;
  while (at + 2 <= bytes.length) {
    const opcode = bytes.readUInt8(at) & 0x0f;
    const short = bytes.readUInt8(at + 1) & 0x7f;
    const head = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (at + head > bytes.length) break;
    const length =
      short < 126
        ? short
        : short === 126
          ? bytes.readUInt16BE(at + 2)
          : Number(bytes.readBigUInt64BE(at + 2));
    if (at + head + length > bytes.length) break;
    frames.push({ opcode, payload: bytes.subarray(at + head, at + head + length) });
    at += head + length;
  }
  return frames;
}

test('a client that stops reading is closed with 1013 at a bounded buffer, does not delay others, and resumes without a loss', async () => {
  const instance = await startTestInstance({
    settings: {
      INBOX_LENGTH_MAX: '10000',
      SOCKET_QUEUE_BYTES_MAX: '65536',
      SLOW_READER_SECONDS: '1',
      HEARTBEAT_SECONDS: '1',
      PEER_GONE_SECONDS: '300',
    },
  });
  const rider = newPerson();
  const raw = await openRaw(instance, await instance.ticket(rider));
  const healthy = await instance.connect(rider);
  const before = await healthy.waitForWelcome();
  raw.socket.pause();

  // Far more than the kernel buffers of both sides can hold.
  let published = 0;
  const reason = 'x'.repeat(8_000);
  await until(
    async () => {
      for (let n = 0; n < 50; n++) {
        const event = tripEventOf('trip.arrived.v1', { rider });
        Object.assign(event.data, { reason });
        await instance.bus.publish([event]);
        published++;
      }
      return instance.connections() === 1;
    },
    { timeoutMs: 20_000, describe: 'the slow reader to be cut' },
  );
  await until(() => healthy.seqs().length === published, { timeoutMs: 10_000 });

  raw.socket.resume();
  const close = await until(() => raw.frames().find(({ opcode }) => opcode === 8));
  expect(close.payload.readUInt16BE(0)).toBe(1013);
  const seen = raw.frames().flatMap(({ opcode, payload }): number[] => {
    const frame: { type: string; seq: number } | undefined =
      opcode === 1 ? JSON.parse(payload.toString()) : undefined;
    return frame?.type === 'event' ? [frame.seq] : [];
  });
  expect(seen).toEqual(seen.map((_, n) => before + 1 + n));
  expect(seen.length).toBeLessThan(published);

  const again = await instance.connect(rider);
  again.send({ type: 'resume', after: seen.at(-1) ?? before });
  const [lastSeq = 0] = await instance.inbox.lastSeqs([rider], systemClock.nowMs());
  await until(() => again.seqs().at(-1) === lastSeq, { timeoutMs: 10_000 });
  expect([...seen, ...again.seqs()]).toEqual(Array.from({ length: published }, (_, n) => before + 1 + n));
  raw.socket.destroy();
  await instance.stop();
}, 60_000);

test('a client that answers no ping is disconnected, one that answers stays connected', async () => {
  const clock = createManualClock(1_763_800_000_000);
  const instance = await startTestInstance({
    clock,
    settings: { HEARTBEAT_SECONDS: '2', PEER_GONE_SECONDS: '7' },
  });
  const dead = await openRaw(instance, await instance.ticket(newPerson()));
  const ended = new Promise<void>((resolve) => dead.socket.once('close', () => resolve()));
  const alive = await instance.connect(newPerson());
  await until(async () => {
    await clock.advance(250);
    return instance.connections() === 1;
  });
  await ended;
  expect(clock.nowMs()).toBeGreaterThan(1_763_800_007_000);
  expect(dead.frames().some(({ opcode }) => opcode === 9)).toBe(true);
  alive.send('?');
  await until(() => alive.errorCodes().length === 1);
  await instance.stop();
});

test('an operator who stops reading is disconnected at a bounded buffer, and the others receive every event', async () => {
  const instance = await startTestInstance({ settings: { PEER_GONE_SECONDS: '300' } });
  const raw = await openRaw(instance, await instance.ticket(newPerson(), 'ops'));
  raw.socket.write(textFrame('{"type":"subscribe","topic":"trips"}'));
  await until(() => raw.frames().some(({ payload }) => payload.includes('subscribed')));
  const healthy = await instance.connect(newPerson(), 'ops');
  healthy.send({ type: 'subscribe', topic: 'trips' });
  await healthy.waitForFrame('subscribed');
  raw.socket.pause();

  const reason = 'x'.repeat(8_000);
  const rider = newPerson();
  let published = 0;
  const seen = () => healthy.frames.filter(({ type }) => type === 'topic').length;
  await until(
    async () => {
      for (let n = 0; n < 50; n++) {
        const event = tripEventOf('trip.requested.v1', { rider });
        Object.assign(event.data, { reason });
        await instance.bus.publish([event]);
        published++;
      }
      await until(() => seen() === published);
      return instance.connections() === 1;
    },
    { timeoutMs: 20_000, describe: 'the operator who does not read to be ended' },
  );
  expect(seen()).toBe(published);
  expect(healthy.errorCodes()).toEqual([]);
  raw.socket.destroy();
  await instance.stop();
}, 60_000);

/** A short text frame of a client, masked with zeros. */
const textFrame = (text: string): Buffer =>
  Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
