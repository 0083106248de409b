import { pino } from 'pino';

/** Structured log to stdout, one JSON object a line. Never give it tokens, passwords or precise positions. */
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
    // The last net: a field of these names is never printed, whoever logs it.
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
