import { Kind, type TSchema, Type, TypeRegistry } from '@sinclair/typebox';

/** Gives texts that look alike one spelling: NFC, trimmed, with one space for any run of spaces. */
export const normaliseText = (text: string): string =>
  text.normalize('NFC').replace(spaces, ' ').replace(outerSpaces, '');

const spaces = /\p{Zs}+/gu;
const outerSpaces = /^ | $/g;

// Invisible characters that a script or an emoji needs, each only where it has an effect. Anywhere else they only
// make texts differ that look alike.
const joinerInText = String.raw`(?<=[\p{L}\p{M}])[\u200c\u200d](?=[\p{L}\p{M}])`;
// Malayalam writes some final consonants with a trailing joiner.
const joinerAfterMark = String.raw`(?<=[\p{M}--\p{DI}])[\u200c\u200d]`;
const joinerInEmoji = String.raw`(?<=[\p{ExtPict}\p{EMod}\ufe0f])\u200d(?=\p{ExtPict})`;
const variationSelector = String.raw`(?<=[[\p{L}\p{M}\p{N}\p{P}\p{S}]--\p{DI}])[\ufe00-\ufe0f\u{e0100}-\u{e01ef}]`;
const mongolianSelector = String.raw`(?<=\p{L})[\u180b-\u180f]`;
const flagOfRegion = String.raw`(?<=\u{1f3f4})[\u{e0020}-\u{e007e}]+\u{e007f}`;
const legalInvisible = new RegExp(
  [joinerInText, joinerAfterMark, joinerInEmoji, variationSelector, mongolianSelector, flagOfRegion].join(
    '|',
  ),
  'gv',
);

// Controls, lone surrogates, private use, unassigned, line and paragraph separators; default ignorables, which
// include everything that changes text direction; interlinear annotations, the Braille blank, and the replacement
// character, which shows that the text was damaged earlier. Emoji of later Unicode versions are accepted.
const forbidden = /[\p{Cc}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{DI}\ufff9-\ufffd\u2800]|[\p{Cn}--\p{ExtPict}]/v;
const visible = /[\p{L}\p{N}\p{P}\p{S}]/u;

/** Whether every character of a normalised text is visible, and there is at least one. */
export function isPrintable(text: string): boolean {
  const rest = text.replace(legalInvisible, '');
  return visible.test(rest) && !forbidden.test(rest);
}

// Before normalisation, spaces and decomposed letters take more characters than after.
const rawLengthFactor = 4;
const kind = 'PrintableText';

TypeRegistry.Set(kind, ({ minLength, maxLength }: TSchema & Bounds, value) => {
  if (typeof value !== 'string' || value.length > maxLength * rawLengthFactor) return false;
  const text = normaliseText(value);
  return text.length >= minLength && text.length <= maxLength && isPrintable(text);
});

interface Bounds {
  minLength: number;
  maxLength: number;
}

/**
 * A short text that people type and others see: printable, with at least one visible character. Lengths are in
 * UTF-16 code units. Handlers get it normalised. It is for input only: output is a plain string, since stored text
 * may be older than this rule.
 */
export const Text = (maxLength: number, minLength = 1) =>
  Type.Transform(
    Type.Unsafe<string>({
      [Kind]: kind,
      type: 'string',
      minLength,
      maxLength,
      description: `printable text of ${minLength} to ${maxLength} characters, stored in NFC with single spaces`,
    }),
  )
    .Decode(normaliseText)
    .Encode((text) => text);
