/** A message breaks the protocol or one of our limits. Nothing that follows it on its connection can be trusted. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage';
  constructor(
    problem: string,
    /** The message may be valid, but it is longer than we read. */
    readonly isTooLong = false,
  ) {
    super(`malformed message: ${problem}`);
  }
}

/** Not even the first line of a request fits (RFC 9112 §3). */
export class TargetTooLong extends MalformedMessage {
  constructor() {
    super('target too long', true);
  }
}
