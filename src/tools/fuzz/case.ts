/** What a case sends and which responses are expected. */
export interface FuzzCase {
  kind: string;
  /** The shortened request line, for reports. */
  label: string;
  parts: Iterable<Uint8Array>;
  pauseMs: number;
  isHead: boolean;
  /** Sent on its own connection, which is observed until it is closed. */
  needsOwnConnection: boolean;
  /**
   * `api`: valid HTTP; answered with one of `statuses` or a problem. `malformed`: the server may close the connection or
   * answer 4xx without a body, and treats it as at most one request. `slow`: closed or rejected in time, after the
   * responses to the first `served` requests, which are complete.
   */
  expects:
    | { like: 'api'; statuses: readonly number[] }
    | { like: 'malformed'; mayServe: boolean }
    | { like: 'slow'; served: number };
}

/** Access tokens of one person of each role. */
export interface RoleTokens {
  rider: string;
  driver: string;
  ops: string | undefined;
}

export interface CaseGenerator {
  next(): FuzzCase;
}
