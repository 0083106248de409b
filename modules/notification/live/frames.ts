import type { EventId } from '@contracts/ids.ts';
import {
  AckFrame,
  type ClientFrame,
  type EventFrame,
  LocationFrame,
  LocationsFrame,
  ResumeFrame,
  type ServerFrame,
  SubscribeFrame,
  type Topic,
  type TopicFrame,
  UnsubscribeFrame,
} from '@contracts/realtime.ts';
import { TypeCompiler } from '@sinclair/typebox/compiler';
import type { FrameErrorCode } from '../errors.ts';

/**
 * An event frame without its start: `"id":…,"event":…,"data":{…}}`. Between the people and replays that get the same
 * view of an event only `seq` differs, so this part is serialised once and passed unchanged through inbox, pub/sub and
 * sockets.
 */
export type FrameBody = string;

export function encodeFrameBody(frame: { id: EventId; event: string; data: EventFrame['data'] }): FrameBody {
  const { id, event, data } = frame;
  return JSON.stringify({ id, event, data }).slice(1);
}

export const encodeEventFrame = (seq: number, body: FrameBody): string =>
  `{"type":"event","seq":${seq},${body}`;

/** The complete frame, which is the same for all subscribers. */
export const encodeTopicFrame = (topic: Topic, body: FrameBody): string =>
  `{"type":"topic","topic":"${topic}",${body}`;

export const encodeFrame = (frame: Exclude<ServerFrame, EventFrame | TopicFrame>): string =>
  JSON.stringify(frame);

export type ParsedFrame =
  | { kind: 'frame'; frame: ClientFrame }
  | { kind: 'refused'; code: Extract<FrameErrorCode, `realtime.frame_${string}`> };

/** Parses what a client sent. Never throws. */
export function parseFrame(message: string | Uint8Array): ParsedFrame {
  const value = typeof message === 'string' ? parseObject(message) : undefined;
  if (value === undefined) return { kind: 'refused', code: 'realtime.frame_malformed' };
  if (isClientFrame(value)) return { kind: 'frame', frame: value };
  return { kind: 'refused', code: 'realtime.frame_invalid' };
}

const checks = {
  resume: TypeCompiler.Compile(ResumeFrame),
  ack: TypeCompiler.Compile(AckFrame),
  location: TypeCompiler.Compile(LocationFrame),
  subscribe: TypeCompiler.Compile(SubscribeFrame),
  unsubscribe: TypeCompiler.Compile(UnsubscribeFrame),
  locations: TypeCompiler.Compile(LocationsFrame),
};

/** Runs the one compiled check for `type`; a union would try its members one after the other. */
function isClientFrame(value: { type?: unknown }): value is ClientFrame {
  switch (value.type) {
    case 'location':
      return checks.location.Check(value);
    case 'locations':
      return checks.locations.Check(value);
    case 'ack':
      return checks.ack.Check(value);
    case 'subscribe':
      return checks.subscribe.Check(value);
    case 'unsubscribe':
      return checks.unsubscribe.Check(value);
    case 'resume':
      return checks.resume.Check(value);
    default:
      return false;
  }
}

function parseObject(text: string): { type?: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
