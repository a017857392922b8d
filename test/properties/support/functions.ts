/** The functions of tasks: they do what their body says, and look about them while they are at it. */
import type { TaskContext } from '../../../src/manager/index.ts';
import { aborted, Resource } from './ledger.ts';
import type { Body } from './program.ts';
import { SickError, type Task, TaskError } from './task.ts';
import { sleep } from './time.ts';
import type { World } from './world.ts';

type Ctx = TaskContext<unknown>;

/** One call of a function, until it has returned. */
export interface Run {
  readonly task: Task;
  readonly ctx: Ctx;
  readonly startedAt: number;
  readonly resource: unknown;
}

/** Runs ahead of the clock by which unique time stamps may drift, and the coarseness of real timers. */
export const SLACK_MS = 1;

export class Functions {
  /** All that are alive. */
  readonly live = new Set<Run>();
  readonly #deaf: (() => void)[] = [];
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Lets those return that hear nothing. */
  release(): void {
    for (const resolve of this.#deaf.splice(0)) resolve();
  }

  /** The function of a task. */
  of(task: Task): (ctx: Ctx, resource: unknown) => unknown {
    return (ctx, resource) => this.call(task, ctx, resource);
  }

  call(task: Task, ctx: Ctx, resource: unknown): unknown {
    const run = this.#enter(task, ctx, resource);
    if (!task.body.sync) return this.#later(run);
    try {
      this.#prologue(run);
      this.#submitChildren(run);
      return this.#conclude(run);
    } finally {
      if (run.task.body.defers === 'nothing') this.#leave(run);
    }
  }

  /** The generator of a streaming task. */
  async *generate(task: Task, ctx: Ctx, resource: unknown): AsyncGenerator<number, void, undefined> {
    const run = this.#enter(task, ctx, resource);
    try {
      this.#prologue(run);
      for (let value = 0; value < task.body.yields; value++) {
        if (!task.body.sync) await this.#work(task.body, ctx);
        this.#checkStore(task, 'in a generator');
        yield value;
      }
      this.#conclude(run, true);
    } finally {
      if (run.task.body.defers === 'nothing') this.#leave(run);
    }
  }

  async #later(run: Run): Promise<number> {
    const { body } = run.task;
    try {
      this.#prologue(run);
      const children = this.#submitChildren(run);
      await this.#work(body, run.ctx);
      await Promise.all(children);
      this.#checkStore(run.task, 'after an await');
      return this.#conclude(run);
    } finally {
      if (run.task.body.defers === 'nothing') this.#leave(run);
    }
  }

  #submitChildren({ task, ctx }: Run): Promise<unknown>[] {
    const awaited: Promise<unknown>[] = [];
    for (const child of task.body.children) {
      const { ended } = this.#world.submissions.submit(child.submission, { ctx, task });
      if (child.awaited) awaited.push(ended);
    }
    return awaited;
  }

  async #work({ ms, manner }: Body, ctx: Ctx): Promise<void> {
    if (manner === 'deaf') return new Promise((resolve) => this.#deaf.push(resolve));
    if (manner === 'hangs') return aborted(ctx.signal);
    if (ms === 0) return;
    if (manner === 'ignores') return new Promise((resolve) => void this.#world.time.setTimeout(resolve, ms));
    return sleep(this.#world.time, ms, ctx.signal);
  }

  #prologue({ task, ctx }: Run): void {
    const { body } = task;
    if (body.retires) ctx.retireResource();
    if (body.defers !== 'nothing') {
      ctx.defer(async () => {
        if (body.ms > 0) await sleep(this.#world.time, body.ms);
        if (body.defers === 'throw') throw new Error('a deferred function throws');
      });
    }
    for (const act of body.acts) this.#world.act(act);
  }

  /** Ends as the body says. */
  #conclude({ task, ctx, startedAt, resource }: Run, streams = false): number {
    const { body, starts } = task;
    const world = this.#world;
    world.look(`at the end of ${task}`);
    const limit = task.limitMs ?? world.spec.timeoutMs;
    const took = world.time.clock.now() - startedAt;
    if (world.time.exact && !streams && ctx.err === undefined && limit !== undefined && took > limit + SLACK_MS) {
      world.fault(`${task} ran for ${took} ms with a limit of ${limit} ms, and was told nothing`);
    }
    if (resource instanceof Resource && body.retires) resource.unfit = true;
    if (body.ends === 'value' || starts > body.spoils) return task.number;
    if (body.ends === 'sick') {
      if (resource instanceof Resource && world.spec.checkHealth !== 'none') resource.unfit = true;
      throw new SickError(task);
    }
    throw new TaskError(task);
  }

  #enter(task: Task, ctx: Ctx, resource: unknown): Run {
    const world = this.#world;
    const { clock } = world.time;
    task.starts++;
    task.live++;
    const run: Run = { task, ctx, startedAt: clock.now(), resource };
    this.live.add(run);
    // The first deferred is the last to run: not before then is the run over.
    if (task.body.defers !== 'nothing') ctx.defer(() => this.#leave(run));
    if (task.live > 1) world.fault(`${task} runs twice at once`);
    if (task.heard > 0) world.fault(`${task} starts after its end was told`);
    if (ctx.attempt !== task.starts)
      world.fault(`${task} starts for the ${task.starts}. time as attempt ${ctx.attempt}`);
    const retry = task.options.retry ?? (task.once ? undefined : world.spec.retry);
    const most = task.once ? 1 : (retry?.attempts ?? 1) + world.spec.maxRetries;
    if (task.starts > most) world.fault(`${task} runs ${task.starts} times, but may run ${most} times`);
    const patience = task.past ? undefined : (task.options.queueTimeoutMs ?? world.spec.queueTimeoutMs);
    if (patience !== undefined && task.starts === 1 && world.time.exact) {
      const waited = clock.now() - task.submittedAt;
      if (waited > patience + SLACK_MS) world.fault(`${task} starts after ${waited} ms, but may wait for ${patience}`);
    }
    this.#checkStore(task, 'at its start');
    this.#takeResource(task, resource);
    world.look(`at the start of ${task}`);
    this.#checkLimits(task);
    return run;
  }

  #leave(run: Run): void {
    const { task, resource } = run;
    task.live--;
    this.live.delete(run);
    if (resource instanceof Resource) resource.holders.delete(task);
  }

  #checkStore(task: Task, when: string): void {
    const world = this.#world;
    if (world.spec.asyncContext && world.als.getStore() !== task.store) {
      world.fault(`${task} is in the async context of ${world.als.getStore()} ${when}`);
    }
  }

  #takeResource(task: Task, resource: unknown): void {
    const world = this.#world;
    if (world.spec.resource === undefined) {
      if (resource !== undefined) world.fault(`${task} got a resource where there is none`);
      return;
    }
    if (!(resource instanceof Resource)) {
      world.fault(`${task} got no resource`);
      return;
    }
    if (resource.destroyed > 0) world.fault(`${task} got resource ${resource.number}, which is destroyed`);
    const kin = [...resource.holders].every((holder) => holder.root === task.root);
    if (!kin) world.fault(`${task} shares resource ${resource.number} with ${[...resource.holders].join(', ')}`);
    if (resource.unfit && resource.holders.size === 0) {
      world.fault(`${task} got resource ${resource.number}, which is bad or retired`);
    }
    resource.holders.add(task);
  }

  /** Promise 3: of queued tasks, no more functions than workers, strays apart. Children may be guests. */
  #checkLimits(task: Task): void {
    const world = this.#world;
    const { busyWorkers, abandonedTasks } = world.manager.stats();
    let queued = 0;
    let ofKey = 0;
    for (const { task: other } of this.live) {
      if (other.past || other.parent !== undefined) continue;
      queued++;
      if (other.options.key === task.options.key) ofKey++;
    }
    if (queued > busyWorkers + abandonedTasks) {
      world.fault(`${queued} functions are alive on ${busyWorkers} busy workers and ${abandonedTasks} strays`);
    }
    const { concurrencyPerKey } = world.spec;
    const { key } = task.options;
    if (concurrencyPerKey !== undefined && key !== undefined && ofKey > concurrencyPerKey + abandonedTasks) {
      world.fault(`${ofKey} tasks of key ${key} run, but ${concurrencyPerKey} may`);
    }
  }
}
