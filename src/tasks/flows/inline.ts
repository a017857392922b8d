/**
 * Nodes that run inline: in the call of the one node before them, right after it, on the same worker and its resource.
 * Their call is of a task of its own, which has the rules of the first of them, and does what all of them do.
 */
import { isA } from '../../go/errors.ts';
import { messageOf } from '../checks.ts';
import { definitionOf, taskOf } from '../define-task.ts';
import type { Definition } from '../definition.ts';
import { type RunContext, runOf } from '../run-context.ts';
import type { AnyTask } from '../types.ts';
import { validate } from '../validate.ts';
import { ask } from './inputs.ts';
import type { Mapper } from './plan.ts';

/** What matters here of a node. */
interface Link {
  readonly name: string;
  readonly kind: string;
  readonly task: AnyTask;
  readonly after: readonly string[];
  readonly takesMany: boolean;
  readonly dependents: readonly number[];
  readonly input: Mapper | undefined;
  readonly onFailure: 'fail' | 'skip';
  readonly options: unknown;
}

/** Refuses what can't be kept of a node that has no call of its own. @throws TypeError */
export function checkInline(
  title: string,
  node: Link,
  own: Definition,
  parent: Link | undefined,
  its: Definition | undefined,
): void {
  const refusal = (why: string) => new TypeError(`the node ${node.name} of ${title} can't run inline: ${why}`);
  const refuse = (why: string): never => {
    throw refusal(why);
  };
  if (parent === undefined || its === undefined) throw refusal('it needs exactly one node that it is after');
  if (parent.dependents.length > 1) refuse(`it isn't the only node after ${parent.name}`);
  if (parent.kind === 'each') refuse(`${parent.name} has a call for each item`);
  if (own.flow !== undefined || its.flow !== undefined) refuse('a flow has no worker');
  if (own.manager !== its.manager) refuse(`it runs on ${own.manager}, and ${parent.name} on ${its.manager}`);
  if (node.options !== undefined || node.onFailure === 'skip') refuse('it takes no options but after and input');
  if (its.onDuplicate !== 'parallel') refuse(`${its.name} has an onDuplicate, which holds only among calls of its own`);
  if ((node.input?.length ?? 0) > 1) refuse("its input can be made of the node's before it alone, not of the flow's");
  const rules = {
    retry: own.retry,
    timeoutMs: own.timeoutMs,
    stallAfterMs: own.stallAfterMs,
    authorize: own.authorize,
    'rateLimit or concurrency': own.limits.size > 0 ? own.limits : undefined,
    onDuplicate: own.onDuplicate === 'parallel' ? undefined : own.onDuplicate,
    deadLetter: own.deadLetter || undefined,
    priority: own.priority === 0 || own.priority === its.priority ? undefined : own.priority,
    onShutdown: own.onShutdown === 'requeue' || own.onShutdown === its.onShutdown ? undefined : own.onShutdown,
    onWorkerLost: own.onWorkerLost === 'retry' || own.onWorkerLost === its.onWorkerLost ? undefined : own.onWorkerLost,
    queue: own.fixedQueue === 'default' || own.fixedQueue === its.fixedQueue ? undefined : own.fixedQueue,
  };
  for (const [rule, value] of Object.entries(rules)) {
    if (value !== undefined) refuse(`${own.name} has a ${rule} of its own, which only a call of its own can have`);
  }
}

/** The task of the calls that several nodes share. Its output is that of all of them by name. */
export function chainTask(name: string, version: number, chain: readonly Link[]): AnyTask {
  const first = definitionOf(chain[0]!.task);
  // As they are now: the first will have this task for its own.
  const links = chain.map((link) => ({ ...link }));
  return taskOf(
    Object.freeze({
      ...first,
      name,
      version,
      description: undefined,
      // Its version is the flow's, of which the first task knows nothing.
      migrate: (input: unknown) => input,
      outputSchema: undefined,
      examples: [],
      run: (ctx, input, resource) => runChain(links, ctx as RunContext, input, resource),
    } satisfies Definition),
  );
}

async function runChain(
  chain: readonly Link[],
  ctx: RunContext,
  firstInput: unknown,
  resource: unknown,
): Promise<unknown> {
  const outputs: [string, unknown][] = [];
  for (const [index, link] of chain.entries()) {
    const before = outputs.at(-1);
    try {
      if (ctx.err !== undefined) throw ctx.cause;
      const work = async (): Promise<unknown> => {
        // As it is registered: a fake, it may be.
        const definition = ctx[runOf]().host.definitionOf(link.task);
        const input = before === undefined ? firstInput : await inputOf(link, definition, before);
        const given = await definition.run(ctx.memberOf(index, definition), input, resource);
        return definition.outputSchema === undefined ? given : validate(definition.outputSchema, given, 'output');
      };
      // What the last one gives is the end of the call.
      const output = index === chain.length - 1 ? await work() : await ctx.step(`flow:${index}`, work);
      outputs.push([link.name, output]);
    } catch (error) {
      throw index > 0 || blamedFor(error) !== undefined ? blamed(error, link.name) : error;
    }
  }
  return Object.fromEntries(outputs);
}

async function inputOf(link: Link, { inputSchema }: Definition, before: [string, unknown]): Promise<unknown> {
  const input = inlineInput(link, before);
  return inputSchema === undefined ? input : validate(inputSchema, input, 'input');
}

/** Of a copy: what the node does to it isn't done to the result of the one before it. */
function inlineInput(link: Link, [name, output]: [string, unknown]): unknown {
  const result = structuredClone(output);
  const results = Object.fromEntries([[name, result]]);
  if (link.input !== undefined) return ask(link, 'input', link.input, results, undefined);
  return link.takesMany ? results : result;
}

/** An error says which of the nodes that share a call it is of. */
const BLAMED = 'flowNode';

/** What can't say it is the cause of one that can. */
function blamed(thrown: unknown, name: string): Error {
  const canSay = isA(thrown, Error) && Object.isExtensible(thrown);
  const error = canSay ? thrown : new Error(messageOf(thrown), { cause: thrown });
  return Object.defineProperty(error, BLAMED, { value: name, enumerable: true, configurable: true, writable: true });
}

/** Which of the nodes that share a call has failed; undefined: the first. */
export function blamedFor(error: unknown): string | undefined {
  const name: unknown = isA(error, Error) ? (error as { readonly [BLAMED]?: unknown })[BLAMED] : undefined;
  return typeof name === 'string' ? name : undefined;
}
