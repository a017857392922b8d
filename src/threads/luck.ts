/**
 * Whether it pays to look out for a message instead of going to sleep. It doesn't where the two sides share a processor,
 * or where there are more threads than processors: who looks out there keeps the other from going on. Only trying tells;
 * so after each time in vain twice as many chances are let pass, up to 256.
 */
export class Luck {
  #misses = 0;
  #pause = 0;

  /** Asked at each chance. */
  get isGood(): boolean {
    if (this.#pause === 0) return true;
    this.#pause--;
    return false;
  }

  /** Something came after we had looked in vain. */
  hit(): void {
    this.#misses = 0;
    this.#pause = 0;
  }

  /** Nothing came. */
  miss(): void {
    if (this.#misses < MOST_MISSES) this.#misses++;
    this.#pause = 2 ** this.#misses;
  }
}

const MOST_MISSES = 8;
