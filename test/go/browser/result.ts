/** How a check in the page went; without an error it passed. */
export interface Result {
  readonly name: string;
  readonly error?: string;
}
