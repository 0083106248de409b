import type { ReadableSpan } from '@opentelemetry/sdk-trace';

/** The spans that wait for their export, bounded by their estimated size in bytes. */
export interface SpanQueue {
  /** Returns false when there is no room. */
  push(span: ReadableSpan): boolean;
  /** Removes the oldest spans of at most this many bytes, but at least one if there is any. */
  takeBatch(bytesMax: number): ReadableSpan[];
  bytes(): number;
  length(): number;
}

export function createSpanQueue(bytesMax: number): SpanQueue {
  let spans: { span: ReadableSpan; bytes: number }[] = [];
  let bytes = 0;
  return {
    push(span) {
      const size = estimateBytes(span);
      if (bytes + size > bytesMax) return false;
      spans.push({ span, bytes: size });
      bytes += size;
      return true;
    },
    takeBatch(batchBytesMax) {
      let count = 0;
      let batchBytes = 0;
      for (const entry of spans) {
        if (count > 0 && batchBytes + entry.bytes > batchBytesMax) break;
        batchBytes += entry.bytes;
        count++;
      }
      const batch = spans.slice(0, count).map(({ span }) => span);
      spans = spans.slice(count);
      bytes -= batchBytes;
      return batch;
    },
    bytes: () => bytes,
    length: () => spans.length,
  };
}

// Estimates, not measured: 1.2 kB of the heap for a span of the SDK without attributes, and 100 bytes for an attribute.
const spanBytes = 1_200;
const attributeBytes = 100;
const linkBytes = 300;

/** About what a span takes in memory. Its JSON is smaller. */
export function estimateBytes({ name, attributes, links }: ReadableSpan): number {
  let bytes = spanBytes + 2 * name.length + links.length * linkBytes;
  for (const key in attributes) {
    const value = attributes[key];
    bytes += attributeBytes + 2 * key.length + (typeof value === 'string' ? 2 * value.length : 0);
  }
  return bytes;
}
