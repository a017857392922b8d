/** What a flow's own things are called in the engine. */

/** The manager of those who run flows: of a dispatcher's own, and without a bound, as they only wait. */
export const FLOWS = 'errand:flows';

/**
 * The id of a call that a flow's run makes for a node, or for one item of it; the same whoever asks. In the first round
 * `<run>/<node>`, `<run>/<node>/<item>`, and `<run>/<node>+<node>` for nodes that share it, whose name is `shared`; later
 * with the round's number.
 */
export function nodeCallId(
  run: string,
  node: string,
  item: number | undefined,
  round: number,
  shared?: string,
): string {
  return `${run}/${shared ?? encoded(node)}${item === undefined ? '' : `/${item}`}${round === 1 ? '' : `~${round}`}`;
}

/** What nodes that share a call are called together. */
export function sharedName(nodes: readonly string[]): string {
  return nodes.map(encoded).join('+');
}

function encoded(node: string): string {
  return node.replace(/[%/~+]/g, encode);
}

function encode(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}
