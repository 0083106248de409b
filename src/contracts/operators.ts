import { type Static, Type } from '@sinclair/typebox';
import { Nullable, Timestamp } from './common.ts';
import { Email } from './email.ts';
import { PersonIdSchema } from './ids.ts';
import { Person } from './people.ts';
import { Text } from './text.ts';

export const OperatorActionKind = Type.Union([
  Type.Literal('ban'),
  Type.Literal('unban'),
  Type.Literal('rotate_keys'),
]);
export type OperatorActionKind = Static<typeof OperatorActionKind>;

/** A person as operators see them, with what was done to them, newest first (100 at most). */
export const PersonRecord = Type.Object({
  person: Person,
  bannedAt: Nullable(Timestamp),
  actions: Type.Array(
    Type.Object({
      id: Type.String(),
      action: OperatorActionKind,
      operatorId: PersonIdSchema,
      reason: Type.String(),
      at: Timestamp,
    }),
  ),
});
export type PersonRecord = Static<typeof PersonRecord>;

export const PersonPath = Type.Object({ id: PersonIdSchema });
export const PersonQuery = Type.Object({ email: Email });

/** Why something is done: kept with who did it. */
const Reason = Text(500, 3);

export const BanBody = Type.Object({ reason: Reason }, { additionalProperties: false });

export const RotateKeysBody = Type.Object(
  {
    reason: Reason,
    compromised: Type.Boolean({
      description:
        'true when somebody else may have the key: it ends at once, and with it every access token in the field',
    }),
  },
  { additionalProperties: false },
);

export const KeysRotated = Type.Object({
  keyId: Type.String(),
  activeFrom: Timestamp,
  othersEndAt: Timestamp,
});
export type KeysRotated = Static<typeof KeysRotated>;
