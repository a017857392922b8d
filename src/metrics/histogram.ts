/**
 * How long things took, in fixed memory: a log-linear histogram, the idea of HdrHistogram. Each power of two has 32
 * buckets of one width, so a percentile is off by at most 1/64 (1.6 %), however many durations there are.
 *
 * Invariant: the buckets add up to `count`; count, sum, min and max are exact.
 */

/** Buckets to a power of two: the five bits of a mantissa that choose one. */
const BUCKETS_PER_OCTAVE = 32;
/** The first bucket begins at 2^-10 ms, just under a microsecond; what is shorter is counted there. */
const LOWEST_EXPONENT = -10;
/** The last one ends at 2^22 ms, an hour and ten minutes; what is longer is counted there. */
const OCTAVES = 32;
const BUCKETS = OCTAVES * BUCKETS_PER_OCTAVE;

// A duration's bucket is its float32 bits without the low 18 of the mantissa. One record costs 3.7 ns in a loop of its
// own on Node 20, as it does with float64 bits (which depend on the machine's byte order); clz32 on an integer costs 4.7.
const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);
const DROPPED_BITS = 18;
const FIRST_BUCKET = (127 + LOWEST_EXPONENT) * BUCKETS_PER_OCTAVE;

/** Counts durations in ms. 8 KB, never more. */
export class Histogram {
  // Doubles: exact up to 2^53, where 32 bits would be full after an hour of a million a second.
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sum = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = 0;

  /** How many durations were recorded. */
  get count(): number {
    return this.#count;
  }

  /** All durations together, in ms. */
  get sum(): number {
    return this.#sum;
  }

  /** The shortest in ms; 0 when there is none. */
  get min(): number {
    return this.#count === 0 ? 0 : this.#min;
  }

  /** The longest in ms; 0 when there is none. */
  get max(): number {
    return this.#max;
  }

  /** The mean in ms; 0 when there is none. */
  get average(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  /** Counts one duration. Less than 0 (a clock that was set back) and NaN count as 0. */
  record(ms: number): void {
    let duration = 0;
    if (ms > 0) duration = ms;
    float[0] = duration;
    let bucket = (bits[0]! >>> DROPPED_BITS) - FIRST_BUCKET;
    if (bucket < 0) bucket = 0;
    else if (bucket >= BUCKETS) bucket = BUCKETS - 1;
    this.#counts[bucket]!++;
    this.#count++;
    this.#sum += duration;
    if (duration < this.#min) this.#min = duration;
    if (duration > this.#max) this.#max = duration;
  }

  /**
   * The duration in ms that `p` percent don't exceed (nearest rank), within 1.6 %; 0 when there is none. Below a
   * microsecond it is within one microsecond, above an hour and ten minutes only as good as min and max.
   * @param p from 0, the shortest, to 100, the longest
   * @throws RangeError when p is anything else
   */
  percentile(p: number): number {
    if (!(p >= 0 && p <= 100)) throw new RangeError(`p must be from 0 to 100, not ${p}`);
    if (this.#count === 0) return 0;
    const rank = Math.max(1, Math.ceil((p * this.#count) / 100));
    // The ends are known exactly.
    if (rank === 1) return this.#min;
    if (rank === this.#count) return this.#max;
    let bucket = 0;
    for (let seen = this.#counts[0]!; seen < rank; seen += this.#counts[bucket]!) bucket++;
    return Math.min(Math.max(middleOf(bucket), this.#min), this.#max);
  }
}

function middleOf(bucket: number): number {
  const octave = Math.floor(bucket / BUCKETS_PER_OCTAVE);
  const step = bucket % BUCKETS_PER_OCTAVE;
  return 2 ** (octave + LOWEST_EXPONENT) * (1 + (step + 0.5) / BUCKETS_PER_OCTAVE);
}
