import { Email } from '@contracts/email.ts';
import { RegisterBody } from '@contracts/people.ts';
import { ConfigError, setting } from '@platform/config.ts';
import { type Static, Type } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';

export const userSettings = Type.Object({
  TOKEN_ISSUER: setting.text('the issuer of access tokens', { default: 'uit-go' }),
  TOKEN_AUDIENCE: setting.text('the audience of access tokens', { default: 'uit-go' }),
  ACCESS_TOKEN_SECONDS: setting.integer('the lifetime of an access token in seconds', 30, 3_600, 900),
  REFRESH_TOKEN_DAYS: setting.integer('the lifetime of a refresh token in days', 1, 365, 30),
  SIGNING_KEY_SECRET: setting.text(
    'the secret that encrypts the signing keys in the database: at least 32 random characters, the same for all instances',
    { minLength: 32 },
  ),
  SIGNING_KEYS_REFRESH_SECONDS: setting.integer(
    'seconds after which an instance reads the signing keys again',
    1,
    3_600,
    30,
  ),
  REFRESH_GRACE_SECONDS: setting.integer(
    'seconds in which a used refresh token returns the same tokens again, for clients whose response was lost',
    0,
    300,
    30,
  ),
  SIGNING_KEY_DAYS: setting.integer('days after which a signing key is replaced', 1, 365, 30),
  LOGIN_FAILURES_MINUTES: setting.integer('minutes over which failed logins are counted', 1, 1_440, 15),
  LOGIN_FAILURES_MAX: setting.integer(
    'failed logins to one account from one address within LOGIN_FAILURES_MINUTES',
    1,
    1_000,
    10,
  ),
  LOGIN_FAILURES_ACCOUNT_MAX: setting.integer(
    'failed logins to one account from all addresses within LOGIN_FAILURES_MINUTES',
    1,
    10_000,
    100,
  ),
  LOGIN_FAILURES_ADDRESS_MAX: setting.integer(
    'failed logins from one address to all accounts within LOGIN_FAILURES_MINUTES',
    1,
    1_000_000,
    300,
  ),
  PASSWORD_HASHES_PARALLEL_MAX: setting.integer('password hashes computed at the same time', 1, 64, 2),
  PASSWORD_HASHES_WAITING_MAX: setting.integer(
    'password hashes that may wait; requests beyond that are answered with 503',
    0,
    10_000,
    64,
  ),
  OPS_EMAIL: Type.Optional(
    Type.Unsafe<string>({
      ...Email,
      description: 'the email of the operator account that is created at startup (with OPS_PASSWORD)',
    }),
  ),
  OPS_PASSWORD: Type.Optional(
    Type.String({
      ...RegisterBody.properties.password,
      description: 'the password of the operator account, 8 to 200 characters (with OPS_EMAIL)',
    }),
  ),
});
export type UserSettings = Static<typeof userSettings>;

export interface OperatorCredentials {
  email: string;
  password: string;
}

/** The configured operator account, if any. Throws ConfigError if only the email or only the password is set. */
export function operatorCredentialsOf({
  OPS_EMAIL,
  OPS_PASSWORD,
}: UserSettings): OperatorCredentials | undefined {
  if (OPS_EMAIL !== undefined && OPS_PASSWORD !== undefined)
    return { email: Value.Decode(Email, OPS_EMAIL), password: OPS_PASSWORD };
  if (OPS_EMAIL === undefined && OPS_PASSWORD === undefined) return undefined;
  const missing = OPS_EMAIL === undefined ? 'OPS_EMAIL' : 'OPS_PASSWORD';
  throw new ConfigError([`${missing} is missing: set both OPS_EMAIL and OPS_PASSWORD, or neither`]);
}
