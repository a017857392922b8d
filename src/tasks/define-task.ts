/** `defineTask`: checks all that defines a task at once, and fills in the rest. */
import type { DuplicatePolicy } from '../engines/index.ts';
import { checkPriority, checkRetry } from '../manager/task-options.ts';
import {
  COUNT,
  checkArray,
  checkFunction,
  checkName,
  checkNameList,
  checkNames,
  checkObject,
  checkOneOf,
  DURATION_OR_NONE,
  isName,
  LIMIT,
  LIMIT_OR_NOW,
  optionalBoolean,
  optionalFunction,
  optionalNumber,
  optionalOneOf,
  wrongRange,
  wrongType,
} from './checks.ts';
import type { Definition } from './definition.ts';
import { InvalidInputError } from './errors.ts';
import { FLOWS } from './flows/ids.ts';
import { askForKey, canonical } from './keys.ts';
import { lanesFor } from './lanes.ts';
import { checkQueues, type Route } from './routes.ts';
import { checkObserve } from './signals/observe.ts';
import type { StandardSchema } from './standard-schema.ts';
import type { AnyTask, Example, Overridable, Task, TaskDefinition } from './types.ts';

export type { Definition };

/**
 * Defines a task: what it is called, what goes in and comes out, the rules by which its calls wait and run, and the
 * work itself. Nothing happens until it is registered with a dispatcher and submitted.
 *
 * What goes in is known from the schema, or else from what `run` says of its second parameter; what comes out from the
 * schema, or else from what `run` returns; the resource from what `run` says of its third.
 *
 * @example
 * const resize = defineTask({
 *   name: 'image.resize',
 *   input: z.object({ path: z.string(), width: z.number() }),
 *   retry: { attempts: 5 },
 *   run: async (ctx, { path, width }) => sharp(path).resize(width).toFile(`${path}.small`),
 * });
 * @throws TypeError or RangeError for the first option that is wrong
 */
export function defineTask<P = unknown, Q = unknown, R = unknown, I = P, O = Q>(
  definition: TaskDefinition<I, P, O, R, Q>,
): Task<I, O> {
  return new DefinedTask<I, O>(complete(definition as unknown as TaskDefinition<unknown, unknown, unknown, unknown>));
}

/** What a task that {@link defineTask} gave is defined by. @throws TypeError for anything else, which it calls `name` */
export function definitionOf(task: AnyTask, name = 'task'): Definition {
  const definition = DefinedTask.definitionOf(task);
  if (definition === undefined) throw wrongType(name, 'what defineTask has given', task);
  return definition;
}

/** A task as {@link defineTask} would give it, of a definition that is whole already. */
export function taskOf(definition: Definition): Task {
  return new DefinedTask(definition);
}

export class DefinedTask<I, O> implements Task<I, O> {
  readonly name: string;
  readonly version: number;
  declare readonly '~types'?: { readonly input: (input: I) => void; readonly output: O };
  readonly #definition: Definition;

  constructor(definition: Definition) {
    this.name = definition.name;
    this.version = definition.version;
    this.#definition = definition;
    Object.freeze(this);
  }

  static definitionOf(task: AnyTask): Definition | undefined {
    if (typeof task !== 'object' || task === null || !(#definition in task)) return undefined;
    return (task as DefinedTask<never, unknown>).#definition;
  }
}

/** A definition of anything. */
export type Given = TaskDefinition<unknown, unknown, unknown, unknown>;

/** As a dictionary, so that the compiler sees to it that none is missing. */
const OPTIONS: Readonly<Record<keyof Given, true>> = {
  name: true,
  version: true,
  description: true,
  input: true,
  output: true,
  migrate: true,
  queue: true,
  priority: true,
  overridable: true,
  timeoutMs: true,
  retry: true,
  onDuplicate: true,
  key: true,
  rateLimit: true,
  concurrency: true,
  stallAfterMs: true,
  heartbeatEveryMs: true,
  onStall: true,
  onWorkerLost: true,
  onShutdown: true,
  deadLetter: true,
  authorize: true,
  retain: true,
  manager: true,
  observe: true,
  examples: true,
  run: true,
};
const OVERRIDABLE: readonly Overridable[] = ['priority', 'queue', 'timeoutMs', 'attempts'];
const DUPLICATE_POLICIES: readonly DuplicatePolicy[] = ['parallel', 'serial', 'discard', 'queueOne'];

/** A definition, checked, with its defaults. */
export function complete(given: Given): Definition {
  checkObject('definition', given);
  checkNames('a task', given, Object.keys(OPTIONS));
  const name = checkName('name', given.name);
  checkFunction('run', given.run);
  const retry = checkRetry(given.retry);
  return Object.freeze({
    name,
    version: optionalNumber('version', given.version, COUNT, 1),
    description: optionalText('description', given.description),
    inputSchema: optionalSchema('input', given.input),
    outputSchema: optionalSchema('output', given.output),
    migrate: optionalFunction('migrate', given.migrate),
    ...queueOf(given.queue),
    priority: given.priority === undefined ? 0 : checkPriority(given.priority),
    overridable: overridableOf(given.overridable),
    timeoutMs: finite(optionalNumber('timeoutMs', given.timeoutMs, LIMIT, undefined)),
    retry: retry && Object.freeze({ ...retry }),
    ...duplicatesOf(given),
    ...lanesFor(name, given.rateLimit, given.concurrency),
    stallAfterMs: finite(optionalNumber('stallAfterMs', given.stallAfterMs, LIMIT, undefined)),
    heartbeatEveryMs: optionalNumber('heartbeatEveryMs', given.heartbeatEveryMs, DURATION_OR_NONE, 1_000),
    onStall: optionalOneOf('onStall', given.onStall, ['fail', 'retry'], 'fail'),
    onWorkerLost: optionalOneOf('onWorkerLost', given.onWorkerLost, ['retry', 'fail'], 'retry'),
    onShutdown: optionalOneOf('onShutdown', given.onShutdown, ['stop', 'requeue', 'drain'], 'requeue'),
    deadLetter: optionalBoolean('deadLetter', given.deadLetter, false),
    authorize: authorizeOf(given.authorize),
    retention: retentionOf(given.retain),
    manager: managerOf(given.manager),
    observe: checkObserve(given.observe),
    examples: examplesOf(given.examples),
    run: given.run,
  });
}

function optionalText(name: string, value: unknown): string | undefined {
  if (value !== undefined && typeof value !== 'string') throw wrongType(name, 'a string', value);
  return value;
}

/** Some libraries' schemas are functions. */
function optionalSchema(name: string, value: unknown): StandardSchema | undefined {
  if (value === undefined) return undefined;
  const standard: unknown = Object(value) === value ? (value as Partial<StandardSchema>)['~standard'] : undefined;
  if (typeof (standard as Partial<StandardSchema['~standard']> | undefined)?.validate !== 'function') {
    throw wrongType(name, 'a Standard Schema, as zod, valibot and arktype make', value);
  }
  const { version } = standard as StandardSchema['~standard'];
  if (version !== 1) throw wrongRange(`${name}['~standard'].version`, '1', version);
  return value as StandardSchema;
}

function queueOf(queue: unknown): Pick<Definition, 'route' | 'fixedQueue' | 'queues'> {
  if (typeof queue !== 'function') {
    if (queue !== undefined && typeof queue !== 'string') throw wrongType('queue', 'a string or a function', queue);
    const fixedQueue = queue === undefined ? 'default' : checkName('queue', queue);
    return { route: () => fixedQueue, fixedQueue, queues: Object.freeze([fixedQueue]) };
  }
  const choose = queue as Route<never>;
  const queues = choose.queues === undefined ? Object.freeze([]) : checkQueues('queue.queues', choose.queues);
  const route = (input: unknown) => {
    const chosen = askForKey('queue', choose, input);
    if (!isName(chosen) || (queues.length > 0 && !queues.includes(chosen))) {
      const expected = queues.length > 0 ? `one of ${queues.join(', ')}` : 'the name of a queue';
      throw new InvalidInputError(`queue must return ${expected}, but returned ${JSON.stringify(chosen)}`);
    }
    return chosen;
  };
  return { route, fixedQueue: undefined, queues };
}

function overridableOf(value: unknown): ReadonlySet<Overridable> {
  if (value === undefined) return new Set();
  return new Set(
    checkArray('overridable', value).map((name, index) => checkOneOf(`overridable[${index}]`, name, OVERRIDABLE)),
  );
}

function duplicatesOf({ onDuplicate: given, key }: Given): Pick<Definition, 'onDuplicate' | 'keyOf'> {
  const onDuplicate = optionalOneOf('onDuplicate', given, DUPLICATE_POLICIES, 'parallel');
  optionalFunction('key', key);
  if (key !== undefined && given === undefined) {
    throw new TypeError('key needs onDuplicate: without it no call counts as a duplicate');
  }
  if (onDuplicate === 'parallel') return { onDuplicate, keyOf: () => undefined };
  if (key === undefined) return { onDuplicate, keyOf: (_, json) => canonical(json) };
  return { onDuplicate, keyOf: (input) => askForKey('key', key, input) };
}

function authorizeOf(value: Given['authorize']): Definition['authorize'] {
  if (value === undefined || typeof value === 'function') return value as Definition['authorize'];
  if (!Array.isArray(value)) throw wrongType('authorize', 'an array of permissions or a function', value);
  return checkNameList('authorize', value);
}

function retentionOf(retain: unknown = {}): Definition['retention'] {
  checkObject('retain', retain);
  checkNames('retain', retain, ['completed', 'failed']);
  const { completed, failed } = retain as NonNullable<Given['retain']>;
  return Object.freeze({
    completedMs: optionalNumber('retain.completed', completed, LIMIT_OR_NOW, 60_000),
    failedMs: optionalNumber('retain.failed', failed, LIMIT_OR_NOW, 86_400_000),
  });
}

function managerOf(manager: unknown): string {
  if (manager === undefined) return 'default';
  if (manager === FLOWS) throw wrongRange('manager', 'the name of a manager of your own', manager);
  return checkName('manager', manager);
}

function examplesOf(value: unknown): Definition['examples'] {
  if (value === undefined) return Object.freeze([]);
  return Object.freeze(
    checkArray('examples', value).map((example, index) => {
      checkObject(`examples[${index}]`, example);
      checkNames(`examples[${index}]`, example, ['input', 'output']);
      return example as Example<unknown, unknown>;
    }),
  );
}

function finite(limit: number | undefined): number | undefined {
  return limit === Number.POSITIVE_INFINITY ? undefined : limit;
}
