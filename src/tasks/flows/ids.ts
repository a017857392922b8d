/** What a flow's own things are called in the engine. */

/** The manager of those who run flows: of a dispatcher's own, and without a bound, as they only wait. */
export const FLOWS = 'errand:flows';

/**
 * The id of a call that a flow's run makes for a node, or for one item of it; the same whoever asks. In the first round
 * `<run>/<node>` and `<run>/<node>/<item>`, later with the round's number.
 */
export function nodeCallId(run: string, node: string, item: number | undefined, round: number): string {
  const name = node.replace(/[%/~]/g, encode);
  return `${run}/${name}${item === undefined ? '' : `/${item}`}${round === 1 ? '' : `~${round}`}`;
}

function encode(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}
