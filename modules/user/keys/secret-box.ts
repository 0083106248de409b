import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import type { Random } from '@platform/random.ts';

/** Encryption at rest with AES-256-GCM. A text sealed under one `label` opens under no other. */
export interface SecretBox {
  seal(plain: Uint8Array, label: string): Uint8Array;
  /** Throws if the text was sealed with another secret or label, or was changed. */
  open(sealed: Uint8Array, label: string): Uint8Array;
}

const ivBytes = 12;
const tagBytes = 16;
const keyBytes = 32;

/** Derives the key from a high-entropy secret with HKDF-SHA-256, so any text of 32 random characters or more works. */
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
          `signing key ${label} does not open: it was sealed with another SIGNING_KEY_SECRET, set that one`,
          { cause },
        );
      }
    },
  };
}
