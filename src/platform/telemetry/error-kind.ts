import { Problem } from '../problems.ts';

const kindLengthMax = 80;
const codePattern = /^[\w.:-]+$/;

/** The kind of an error for a span: the code of a problem or of the system, else the name. Never its message. */
export function errorKindOf(error: unknown): string {
  if (error instanceof Problem) return error.code;
  if (!(error instanceof Error)) return typeof error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return code.length <= kindLengthMax && codePattern.test(code) ? code : 'Error';
}
