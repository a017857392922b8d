/** What examples/passwords.ts runs in threads. */
import { randomBytes, scryptSync, timingSafeEqual } from 'node:crypto';

const KEY_BYTES = 32;
/** More is safer and slower: so much that a guess costs, and a login doesn't. */
const COST = 2 ** 13;

/** @param {string} password */
export function hash(password) {
  const salt = randomBytes(16);
  const key = scryptSync(password, salt, KEY_BYTES, { cost: COST });
  return `${salt.toString('base64')}:${key.toString('base64')}`;
}

/**
 * @param {string} password
 * @param {string} hashed what `hash` has made
 */
export function verify(password, hashed) {
  const [salt, key] = hashed.split(':').map((part) => Buffer.from(part, 'base64'));
  return timingSafeEqual(scryptSync(password, salt, KEY_BYTES, { cost: COST }), key);
}
