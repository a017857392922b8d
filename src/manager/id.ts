/**
 * Task ids: ULIDs (github.com/ulid/spec) that are computed, not stored. A manager never gives two submissions the same
 * time stamp, so the stamp is the identity: 48 bits of whole ms, then 20 bits of the fraction, then 60 bits that are
 * the manager's own. Hence ids sort by submission, and cost nothing until somebody reads one.
 */
import { encodeTime, ulid } from 'ulid';

const FRACTION_STEPS = 2 ** 20;
const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

export class IdSource {
  readonly #timeOrigin: number;
  /** The last 12 of a ULID's 16 random characters. */
  readonly #own = ulid().slice(-12);

  constructor(timeOrigin: number) {
    this.#timeOrigin = timeOrigin;
  }

  /** The id of what was submitted at `stamp`, in ms of the manager's clock. */
  at(stamp: number): string {
    const whole = Math.floor(stamp);
    let fraction = Math.floor((stamp - whole) * FRACTION_STEPS);
    let text = '';
    for (let digit = 0; digit < 4; digit++) {
      text = DIGITS[fraction % 32]! + text;
      fraction = Math.floor(fraction / 32);
    }
    return encodeTime(this.#timeOrigin + whole, 10) + text + this.#own;
  }
}

/**
 * Two submissions in one instant are told apart by this much: 15 ns, the smallest step a double can hold for a manager
 * that has been up for four years.
 */
export const STAMP_STEP_MS = 2 ** -16;
