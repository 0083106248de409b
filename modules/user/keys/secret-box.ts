import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import type { Random } from '@platform/random.ts';

/** Encryption at rest, AES-256-GCM: what is sealed for one `label` opens for no other. */
export interface SecretBox {
  seal(plain: Uint8Array, label: string): Uint8Array;
  /** Throws when it was sealed with another secret, for another label, or was changed. */
  open(sealed: Uint8Array, label: string): Uint8Array;
}

const ivBytes = 12;
const tagBytes = 16;
const keyBytes = 32;

/** The key is derived from a secret of high entropy (HKDF-SHA-256), so that any text of 32 characters or more serves. */
export function createSecretBox(secret: string, random: Random): SecretBox {
  const key = Buffer.from(hkdfSync('sha256', secret, '', 'uit-go signing keys', keyBytes));

  return {
    seal(plain, label) {
      const iv = random.bytes(ivBytes);
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(label));
      const text = Buffer.concat([cipher.update(plain), cipher.final()]);
      return Buffer.concat([iv, cipher.getAuthTag(), text]);
    },
    open(sealed, label) {
      const iv = sealed.subarray(0, ivBytes);
      const tag = sealed.subarray(ivBytes, ivBytes + tagBytes);
      const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: tagBytes })
        .setAAD(Buffer.from(label))
        .setAuthTag(tag);
      try {
        return Buffer.concat([decipher.update(sealed.subarray(ivBytes + tagBytes)), decipher.final()]);
      } catch (cause) {
        throw new Error(
          `signing key ${label} does not open: it was sealed with another SIGNING_KEY_SECRET; set the one it was made with`,
          { cause },
        );
      }
    },
  };
}
