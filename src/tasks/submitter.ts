/** From a task and an input to a call in the engine: everything that can be wrong is found before anything is stored. */
import { monotonicFactory } from 'ulid';
import type { Engine, NewCall } from '../engines/index.ts';
import { wallTimeOf } from '../go/clock.ts';
import { isA } from '../go/errors.ts';
import { isAllowed } from './authorize.ts';
import { Call } from './call.ts';
import { copyOf } from './copy.ts';
import { definitionOf } from './define-task.ts';
import type { Definition } from './definition.ts';
import { ForbiddenError, InvalidInputError, NotRegisteredError, SubmitStoppedError } from './errors.ts';
import { rootInputs } from './flows/inputs.ts';
import type { FlowPlan } from './flows/plan.ts';
import { encodePayload } from './payload.ts';
import { queueLane } from './queues.ts';
import type { AnyTask, TaskRegistry } from './registry.ts';
import type { Parent } from './run.ts';
import { checkSubmitOptions } from './submit-options.ts';
import type { CallerContext, SubmitOptions } from './types.ts';
import { validate } from './validate.ts';

/** A submission before it is checked and stored, as `beforeSubmit` may change it. */
export interface Draft {
  /** The task's name. */
  readonly task: string;
  /** Its version. */
  readonly version: number;
  /** What is submitted. */
  input: unknown;
  /** What is said of the submission. */
  options: SubmitOptions;
}

/** Sees every submission: may change it, or stop it by returning `false`. What it throws, the submission rejects with. */
export type BeforeSubmit = (draft: Draft) => unknown;

export interface SubmitterSettings {
  readonly engine: Engine;
  readonly registry: TaskRegistry;
  readonly beforeSubmit: BeforeSubmit | undefined;
  readonly maxPayloadBytes: number;
}

/** Drawn many at a time: one by one, those of a single id cost as much as all else of a submission. */
const randoms = new Uint32Array(1_024);
let randomsLeft = 0;

function random(): number {
  if (randomsLeft === 0) {
    crypto.getRandomValues(randoms);
    randomsLeft = randoms.length;
  }
  return randoms[--randomsLeft]! / 2 ** 32;
}

/** In order of submission: within a millisecond each is the one before it, plus one. */
const ulid = monotonicFactory(random);
const NOTHING: SubmitOptions = {};
const NOBODY: CallerContext = {};

export class CallSubmitter {
  readonly #settings: SubmitterSettings;

  constructor(settings: SubmitterSettings) {
    this.#settings = settings;
  }

  async submit(
    task: AnyTask | string,
    input: unknown,
    options: SubmitOptions | undefined,
    parent: Parent | undefined,
  ): Promise<Call<unknown>> {
    const { engine } = this.#settings;
    const prepared = this.prepare(task, input, options, parent);
    const call = prepared instanceof Promise ? await prepared : prepared;
    return (await Call.of(engine, call.id, engine.submit(call)))!;
  }

  async submitMany(
    task: AnyTask | string,
    inputs: Iterable<unknown>,
    options: SubmitOptions | undefined,
    parent: Parent | undefined,
  ): Promise<Call<unknown>[]> {
    if (options?.id !== undefined)
      throw new TypeError('submitMany takes no id: each of its calls needs one of its own');
    const calls: NewCall[] = [];
    for (const input of inputs) calls.push(await this.prepare(task, input, options, parent));
    return this.store(calls);
  }

  /** Stores calls that have been checked: all, or none. */
  async store(calls: readonly NewCall[]): Promise<Call<unknown>[]> {
    const { engine } = this.#settings;
    if (calls.length === 0) return [];
    const stored = engine.submitMany(calls);
    const records = calls.map(({ id }, index) =>
      Call.of(
        engine,
        id,
        stored.then((all) => all[index]),
      ),
    );
    return Promise.all(records) as Promise<Call<unknown>[]>;
  }

  /** Rejects with what is wrong with a submission, but for what `beforeSubmit` would say. Nothing comes of it. */
  async check(task: AnyTask | string, input: unknown, options: SubmitOptions): Promise<void> {
    await this.#check(this.definitionOf(task), input, options, undefined);
  }

  /** A call, checked from end to end. Synchronous unless a schema, a hook or a permission isn't. */
  prepare(
    task: AnyTask | string,
    input: unknown,
    options: SubmitOptions = NOTHING,
    parent: Parent | undefined,
  ): NewCall | Promise<NewCall> {
    const { beforeSubmit } = this.#settings;
    const definition = this.definitionOf(task);
    if (beforeSubmit !== undefined) return this.#afterHook(beforeSubmit, definition, { input, options }, parent);
    return this.#check(definition, input, options, parent);
  }

  async #afterHook(
    beforeSubmit: BeforeSubmit,
    definition: Definition,
    given: Pick<Draft, 'input' | 'options'>,
    parent: Parent | undefined,
  ): Promise<NewCall> {
    const { name, version } = definition;
    const { input, options } = given;
    // A copy: what the hook changes is changed for this submission alone.
    const draft: Draft = {
      task: name,
      version,
      input: copyOf(input),
      options: Object(options) === options ? { ...options } : options,
    };
    if ((await beforeSubmit(draft)) === false) {
      throw new SubmitStoppedError(`beforeSubmit has stopped the submission of ${name}`);
    }
    return this.#check(definition, draft.input, draft.options, parent);
  }

  #check(
    definition: Definition,
    input: unknown,
    options: SubmitOptions,
    parent: Parent | undefined,
  ): NewCall | Promise<NewCall> {
    if (options !== NOTHING) checkSubmitOptions(definition, options);
    const caller = callerOf(options, parent);
    const { inputSchema, authorize, flow } = definition;
    if (inputSchema !== undefined || authorize !== undefined || flow !== undefined) {
      const valid = inputSchema === undefined ? undefined : validate(inputSchema, input, 'input');
      if (valid instanceof Promise || authorize !== undefined || flow !== undefined) {
        return this.#admit(definition, input, options, caller, parent, inputSchema === undefined ? input : valid);
      }
    }
    return this.#build(definition, input, options, caller, parent);
  }

  async #admit(
    definition: Definition,
    input: unknown,
    options: SubmitOptions,
    caller: CallerContext,
    parent: Parent | undefined,
    valid: unknown,
  ): Promise<NewCall> {
    const taken = await valid;
    if (definition.authorize !== undefined && !(await isAllowed(definition, caller.principals ?? [], input))) {
      const who = caller.principals?.map(({ name }) => name).join(', ') || 'nobody';
      throw new ForbiddenError(`${who} may not run ${definition.name}`);
    }
    if (definition.flow !== undefined) await this.#checkRoots(definition.flow, taken, caller);
    return this.#build(definition, input, options, caller, parent);
  }

  /** What can be known to fail of a flow is refused before anything of it is stored. */
  async #checkRoots(flow: FlowPlan, flowInput: unknown, caller: CallerContext): Promise<void> {
    for (const { node, input } of rootInputs(flow, flowInput)) {
      try {
        await this.#check(this.definitionOf(node.task), input, { ...node.options, context: caller }, undefined);
      } catch (error) {
        if (!isA(error, InvalidInputError)) throw error;
        const message = `the node ${node.name} of the flow ${flow.name} can't begin: ${error.message}`;
        throw new InvalidInputError(message, { cause: error, issues: error.issues });
      }
    }
  }

  #build(
    definition: Definition,
    input: unknown,
    options: SubmitOptions,
    caller: CallerContext,
    parent: Parent | undefined,
  ): NewCall {
    const { maxPayloadBytes } = this.#settings;
    const json = encodePayload(input, 'input', maxPayloadBytes);
    const queue = options.queue ?? definition.fixedQueue ?? definition.route(input);
    const { timeoutMs, attempts } = options;
    return {
      id: options.id ?? ulid(),
      task: definition.name,
      version: definition.version,
      queue,
      priority: options.priority ?? definition.priority,
      manager: definition.manager,
      input: json,
      context: caller === NOBODY ? '{}' : encodePayload(caller, 'context', maxPayloadBytes),
      parentId: parent?.id,
      delayMs: this.#delayOf(options),
      lanes: lanesOf(definition, input, queue),
      key: definition.keyOf(input, json),
      onDuplicate: definition.onDuplicate,
      retention: definition.retention,
      overrides:
        timeoutMs === undefined && attempts === undefined ? undefined : JSON.stringify({ timeoutMs, attempts }),
    };
  }

  #delayOf({ delayMs, runAt }: SubmitOptions): number {
    if (runAt === undefined) return delayMs ?? 0;
    return Math.max(0, Number(runAt) - wallTimeOf(this.#settings.engine.clock));
  }

  /** What a task is registered as. @throws NotRegisteredError */
  definitionOf(task: AnyTask | string): Definition {
    const { registry } = this.#settings;
    if (typeof task === 'string') return definitionOf(registry.get(task));
    const { name, version } = definitionOf(task);
    const registered = registry.has(name, version) ? registry.get(name, version) : undefined;
    if (registered === undefined) {
      throw new NotRegisteredError(
        `${name} (version ${version}) is not registered here: add it to the dispatcher's tasks`,
      );
    }
    // What is registered under the name: a fake, it may be.
    return definitionOf(registered);
  }
}

/** Its queue's, and those of its definition. */
function lanesOf(definition: Definition, input: unknown, queue: string): readonly string[] {
  const lanes = definition.lanesOf(input);
  return [queueLane(queue), ...lanes];
}

/** What goes along: what is given, else what the parent has. */
function callerOf({ context }: SubmitOptions, parent: Parent | undefined): CallerContext {
  const inherited = parent?.caller ?? NOBODY;
  if (context === undefined) return inherited;
  return {
    principals: context.principals ?? inherited.principals,
    headers: { ...inherited.headers, ...context.headers },
  };
}
