/**
 * A module for `errand map`: fetches URLs, and says how each answered.
 *
 *   errand map fetch.ts --from urls.txt --concurrency 20 --timeout 5s --retries 3 --journal fetch.journal --out pages.ndjson
 *
 * What it shows: hosts that take turns, a signal handed on, and an error for an answer that is worth another try.
 */

/** Who refuses for now, is too busy or broken. What else comes is an answer, be it 404. */
const WORTH_ANOTHER_TRY = [408, 425, 429, 500, 502, 503, 504];

export interface Fetched {
  readonly status: number;
  readonly bytes: number;
}

/** Hosts take turns, so the one with the most URLs doesn't stand before the others. */
export function key(url: string): string {
  return new URL(url).host;
}

export default async function fetchUrl(url: string, { signal }: { readonly signal: AbortSignal }): Promise<Fetched> {
  const response = await fetch(url, { signal });
  const body = await response.arrayBuffer();
  if (WORTH_ANOTHER_TRY.includes(response.status)) throw new Error(`${response.status} ${response.statusText}`);
  return { status: response.status, bytes: body.byteLength };
}
