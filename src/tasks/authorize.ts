/** Who may run a task, on whose behalf calls are made, and what goes along with them. */
import { show } from '../go/checks.ts';
import { checkArray, checkName, checkNameList, checkNames, checkObject, wrongType } from './checks.ts';
import type { Definition } from './definition.ts';
import type { Principal } from './types.ts';

/**
 * Whether the principals may run the task with this input. A throw of the definition's own function goes through, as it
 * is neither yes nor no.
 */
export function isAllowed(
  definition: Definition,
  principals: readonly Principal[],
  input: unknown,
): boolean | Promise<boolean> {
  const { authorize } = definition;
  if (authorize === undefined) return true;
  if (typeof authorize !== 'function') {
    return authorize.every((permission) => principals.some(({ permissions }) => permissions?.includes(permission)));
  }
  const answer = authorize(principals, input);
  return typeof answer === 'boolean' ? answer : Promise.resolve(answer).then(verdict);
}

/** A slip, as a forgotten return or a list that is empty, must not open the door. */
function verdict(answer: unknown): boolean {
  if (typeof answer !== 'boolean') throw new TypeError(`authorize must return a boolean, but returned ${show(answer)}`);
  return answer;
}

/** Principals as they are given, as a copy that stays. */
export function checkPrincipals(value: unknown, option = 'principals'): readonly Principal[] {
  return Object.freeze(
    checkArray(option, value).map((principal, index) => {
      const own = `${option}[${index}]`;
      checkObject(own, principal);
      checkNames(own, principal, ['name', 'permissions']);
      const { name, permissions } = principal as Partial<Principal>;
      checkName(`${own}.name`, name);
      if (permissions === undefined) return Object.freeze({ name: name! });
      return Object.freeze({ name: name!, permissions: checkNameList(`${own}.permissions`, permissions) });
    }),
  );
}

/** Headers as they are given, as a copy that stays. */
export function checkHeaders(value: unknown, option = 'headers'): Readonly<Record<string, string>> {
  checkObject(option, value);
  // A Map or a list would seem to have none.
  if (Symbol.iterator in value) throw wrongType(option, 'an object of strings', value);
  for (const [name, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw wrongType(`${option}[${JSON.stringify(name)}]`, 'a string', text);
  }
  return Object.freeze({ ...value } as Record<string, string>);
}
