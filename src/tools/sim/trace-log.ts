import type { Log } from '@platform/log.ts';
import type { Scheduler, Scope } from './scheduler.ts';

/** What an instance warns of becomes a part of the trace. */
export function createTraceLog(scheduler: Scheduler, scope: Scope): Log {
  const say = (level: string) => (fields: object, message: string) =>
    scheduler.recordTrace(`${scope.name}: ${level}: ${message}${causeOf(fields)}`);
  const log: Log = {
    debug: () => undefined,
    info: () => undefined,
    warn: say('warn'),
    error: say('error'),
    child: () => log,
  };
  return log;
}

function causeOf(fields: object): string {
  const said = 'err' in fields ? fields.err : 'reason' in fields ? fields.reason : undefined;
  if (said === undefined) return '';
  return `: ${said instanceof Error ? said.message : String(said)}`;
}
