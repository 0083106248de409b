import type { Log } from '@platform/log.ts';
import type { Scheduler, Scope } from './scheduler.ts';

/** A log whose warnings and errors become lines of the trace. */
export function createTraceLog(scheduler: Scheduler, scope: Scope): Log {
  const record = (level: string) => (fields: object, message: string) =>
    scheduler.recordTrace(`${scope.name}: ${level}: ${message}${causeOf(fields)}`);
  const log: Log = {
    debug: () => undefined,
    info: () => undefined,
    warn: record('warn'),
    error: record('error'),
    child: () => log,
  };
  return log;
}

function causeOf(fields: object): string {
  const cause = 'err' in fields ? fields.err : 'reason' in fields ? fields.reason : undefined;
  if (cause === undefined) return '';
  return `: ${cause instanceof Error ? cause.message : String(cause)}`;
}
