/** How errors say where in a value something is. */

const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;
const MOST_STEPS = 20;

/** As it would be written in code: `input.users[3]["first name"]`. */
export function pathText(root: string, path: readonly PropertyKey[]): string {
  const text = path.slice(0, MOST_STEPS).map(stepText).join('');
  return `${root}${text}${path.length > MOST_STEPS ? ` and ${path.length - MOST_STEPS} deeper` : ''}`;
}

function stepText(step: PropertyKey): string {
  if (typeof step === 'string') return IDENTIFIER.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`;
  return `[${String(step)}]`;
}
