/** What all contenders call in their threads: the same functions. They import nothing, so that a start-up has only these to load. */

export type Bytes = Uint8Array<ArrayBuffer>;

export function noop(): void {}

/** What is copied on its way in and out. */
export function echo(bytes: Bytes): Bytes {
  return bytes;
}

/** Keeps a processor busy, and gives a number that shows that it did: Collatz's. */
export function compute(limit: number): number {
  let longest = 0;
  for (let start = 1; start < limit; start++) {
    let steps = 0;
    for (let n = start; n !== 1; n = n % 2 === 0 ? n / 2 : 3 * n + 1) steps++;
    if (steps > longest) longest = steps;
  }
  return longest;
}
