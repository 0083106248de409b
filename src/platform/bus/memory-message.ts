/** An event in a queue. It is kept as text, so that no two consumers ever share an object. */
export interface MemoryMessage {
  text: string;
  failures: number;
  firstFailedAtMs: number | undefined;
  redrives: number;
}
