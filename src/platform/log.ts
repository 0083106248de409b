import { pino } from 'pino';

/** A structured log to stdout, one JSON object per line. Never log tokens, passwords or precise positions. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Log;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export function createLog(level: LogLevel, fields: Record<string, unknown> = {}): Log {
  return pino({
    level,
    base: fields,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    // Last line of defence: fields with these names are always redacted.
    redact: {
      paths: [
        'authorization',
        'password',
        'token',
        'refreshToken',
        'accessToken',
        'ticket',
        'lat',
        'lng',
        '*.authorization',
        '*.password',
        '*.token',
        '*.lat',
        '*.lng',
      ],
      censor: '[redacted]',
    },
  });
}
