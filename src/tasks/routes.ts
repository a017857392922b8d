/** Which queue a call waits in, where that isn't always the same. */

/** Gives the name of a queue for an input. */
export type Route<I> = (input: I) => string;
