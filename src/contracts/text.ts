import { Kind, type TSchema, Type, TypeRegistry } from '@sinclair/typebox';

/** One spelling for all texts that look alike: NFC, trimmed, one space for any run of spaces. */
export const normaliseText = (text: string): string =>
  text.normalize('NFC').replace(spaces, ' ').replace(outerSpaces, '');

const spaces = /\p{Zs}+/gu;
const outerSpaces = /^ | $/g;

// Invisible characters that belong to a script or an emoji, each where it has an effect. Everywhere else
// they only make two texts differ that look alike.
const joinerInText = String.raw`(?<=[\p{L}\p{M}])[\u200c\u200d](?=[\p{L}\p{M}])`;
// Malayalam writes some final consonants with a joiner at the end.
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

// Controls, halves of surrogate pairs, private use, unassigned, line and paragraph separators; the default
// ignorables, among them all that change the direction of text; interlinear annotations, the blank of Braille,
// and the replacement character, which shows that a text was damaged before. Emoji of later Unicode versions pass.
const forbidden = /[\p{Cc}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{DI}\ufff9-\ufffd\u2800]|[\p{Cn}--\p{ExtPict}]/v;
const visible = /[\p{L}\p{N}\p{P}\p{S}]/u;

/** Whether people can see every character of a normalised text, and there is something to see. */
export function isPrintable(text: string): boolean {
  const rest = text.replace(legalInvisible, '');
  return visible.test(rest) && !forbidden.test(rest);
}

// Spaces and decomposed letters take more room before they are normalised than after.
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
 * A short text that people typed and others will see: printable, of at least one visible character, its length
 * in UTF-16 code units as of every string.
 * Handlers get it normalised. For what comes in; what goes out is a plain string, since it may be older than the rule.
 */
export const Text = (maxLength: number, minLength = 1) =>
  Type.Transform(
    Type.Unsafe<string>({
      [Kind]: kind,
      type: 'string',
      minLength,
      maxLength,
      description: `printable text of ${minLength} to ${maxLength} characters, kept in NFC with single spaces`,
    }),
  )
    .Decode(normaliseText)
    .Encode((text) => text);
