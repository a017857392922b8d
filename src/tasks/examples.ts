/** The examples in definitions, run as tests: so they are never out of date. */
import { inspect } from 'node:util';
import { checkNames, checkObject, messageOf, wrongType } from './checks.ts';
import { definitionOf } from './define-task.ts';
import type { Definition } from './definition.ts';
import { ExampleContext } from './example-context.ts';
import { pathText } from './paths.ts';
import { decodePayload, encodePayload } from './payload.ts';
import { TaskRegistry } from './registry.ts';
import type { Example } from './types.ts';
import { validate } from './validate.ts';

/** What {@link testExamples} can be told. */
export interface ExampleOptions {
  /** What stands in for the resources that tasks run on, by the names of their managers. Default: undefined for all. */
  readonly resources?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * Runs all examples of all tasks, one after the other: the way of a call, through JSON and the schemas, but without a
 * dispatcher; permissions, limits and retries don't count. Resolves to how many there were.
 *
 * @example
 * test('the examples are right', () => testExamples(registry));
 * @throws TypeError when it is no registry; AggregateError with an error for each example that failed, which says how
 */
export async function testExamples(registry: TaskRegistry, options: ExampleOptions = {}): Promise<number> {
  if (!(registry instanceof TaskRegistry)) throw wrongType('registry', 'a TaskRegistry', registry);
  checkObject('options', options);
  checkNames('testExamples', options, ['resources']);
  const { resources = {} } = options;
  checkObject('resources', resources);
  const failures: Error[] = [];
  let count = 0;
  for (const task of registry.list()) {
    const definition = definitionOf(task);
    const resource = Object.hasOwn(resources, definition.manager) ? resources[definition.manager] : undefined;
    for (const [index, example] of definition.examples.entries()) {
      count += 1;
      try {
        await testExample(definition, example, resource);
      } catch (error) {
        const which = `${definition.name} (version ${definition.version}), example ${index + 1}`;
        failures.push(new Error(`${which}: ${messageOf(error)}`, { cause: error }));
      }
    }
  }
  if (failures.length > 0) {
    const what = `${failures.length} of ${count} ${count === 1 ? 'example' : 'examples'} failed`;
    throw new AggregateError(failures, [what, ...failures.map(({ message }) => message)].join('\n- '));
  }
  return count;
}

async function testExample(
  definition: Definition,
  example: Example<unknown, unknown>,
  resource: unknown,
): Promise<void> {
  const { inputSchema, outputSchema, run } = definition;
  const sent = throughJson(example.input, 'input');
  const input = inputSchema === undefined ? sent : await validate(inputSchema, sent, 'input');
  const returned = await new ExampleContext(definition, sent).run((ctx) => run(ctx, input, resource));
  const output = outputSchema === undefined ? returned : await validate(outputSchema, returned, 'output');
  const difference = differenceOf(throughJson(output, 'output'), throughJson(example.output, 'output'), []);
  if (difference !== undefined) throw new Error(difference);
}

function throughJson(value: unknown, what: 'input' | 'output'): unknown {
  return decodePayload(encodePayload(value, what, Number.POSITIVE_INFINITY));
}

/** Where two values that JSON holds differ first, in words; undefined: nowhere. */
function differenceOf(actual: unknown, expected: unknown, path: readonly PropertyKey[]): string | undefined {
  if (!isObject(actual) || !isObject(expected) || Array.isArray(actual) !== Array.isArray(expected)) {
    if (Object.is(actual, expected)) return undefined;
    return `${pathText('output', path)} is ${shown(actual)}, but the example says ${shown(expected)}`;
  }
  for (const key of new Set([...Object.keys(expected), ...Object.keys(actual)])) {
    const step = Array.isArray(expected) ? Number(key) : key;
    const own = (value: object) => (Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined);
    const found = differenceOf(own(actual), own(expected), [...path, step]);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function shown(value: unknown): string {
  return inspect(value, { depth: 1, breakLength: Number.POSITIVE_INFINITY, maxArrayLength: 5, maxStringLength: 100 });
}
