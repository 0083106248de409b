import { type Static, Type } from '@sinclair/typebox';
import { Nullable, Timestamp } from './common.ts';
import { Email } from './email.ts';
import { PersonIdSchema } from './ids.ts';
import { Text } from './text.ts';

export const Role = Type.Union([Type.Literal('rider'), Type.Literal('driver'), Type.Literal('ops')]);
export type Role = Static<typeof Role>;

/** The longest name, in UTF-16 code units. A name is part of each access token, which may have 2,048 characters. */
export const nameLengthMax = 100;
const Password = Type.String({ minLength: 8, maxLength: 200 });
const Phone = Type.String({ pattern: '^\\+[1-9]\\d{6,14}$', description: 'E.164' });

export const Person = Type.Object({
  id: PersonIdSchema,
  email: Type.String(),
  name: Type.String(),
  phone: Nullable(Type.String()),
  role: Role,
  createdAt: Timestamp,
});
export type Person = Static<typeof Person>;

/** Only riders and drivers can register; operators are created by the deployment. */
export const RegisterBody = Type.Object(
  {
    email: Email,
    password: Password,
    name: Text(nameLengthMax),
    role: Type.Union([Type.Literal('rider'), Type.Literal('driver')]),
    phone: Type.Optional(Phone),
  },
  { additionalProperties: false },
);
export type RegisterBody = Static<typeof RegisterBody>;

export const LoginBody = Type.Object(
  { email: Email, password: Type.String({ minLength: 1, maxLength: 200 }) },
  { additionalProperties: false },
);
export type LoginBody = Static<typeof LoginBody>;

export const RefreshBody = Type.Object(
  { refreshToken: Type.String({ minLength: 20, maxLength: 200 }) },
  { additionalProperties: false },
);

export const Tokens = Type.Object({
  accessToken: Type.String({ description: 'JWT, EdDSA' }),
  accessExpiresAt: Timestamp,
  refreshToken: Type.String({ description: 'opaque, single use' }),
  refreshExpiresAt: Timestamp,
});
export type Tokens = Static<typeof Tokens>;

export const LoginSession = Type.Object({ person: Person, tokens: Tokens });
export type LoginSession = Static<typeof LoginSession>;

export const UpdateMeBody = Type.Object(
  { name: Type.Optional(Text(nameLengthMax)), phone: Type.Optional(Nullable(Phone)) },
  { additionalProperties: false, minProperties: 1 },
);
export type UpdateMeBody = Static<typeof UpdateMeBody>;

/** An RFC 7517 key set with public keys only. */
export const KeySet = Type.Object({
  keys: Type.Array(
    Type.Object({
      kty: Type.Literal('OKP'),
      crv: Type.Literal('Ed25519'),
      x: Type.String(),
      kid: Type.String(),
      alg: Type.Literal('EdDSA'),
      use: Type.Literal('sig'),
    }),
  ),
});
export type KeySet = Static<typeof KeySet>;
