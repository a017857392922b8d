/** The end of a world: the manager's, then that of what may outlive it, and then the accounts. */
import type { StopSummary } from '../../../src/manager/index.ts';
import type { Program } from './program.ts';
import type { World } from './world.ts';

export class Ending {
  readonly #world: World;
  #summary: StopSummary | undefined;
  #ended = false;

  constructor(world: World) {
    this.#world = world;
  }

  async come(program: Program): Promise<void> {
    const world = this.#world;
    const before = world.manager.metrics();
    const isFirst = !world.isEnding;
    this.#begin(program);
    const most = program.timeoutMs + 2 * world.spec.killGraceMs + 100;
    const { clock, exact } = world.time;
    const begun = clock.now();
    while (!this.#ended && clock.now() - begun <= most) await world.time.pass(exact ? 50 : 5);
    if (!this.#ended) world.fault(`the manager has not ended: ${JSON.stringify(world.manager.stats())}`);
    world.check('at the end');
    this.#checkRest();
    if (isFirst) this.#checkSummary(before);
    world.throwFaults();
    await this.#settle();
    this.#checkTasks();
    this.#checkResources();
    world.throwFaults();
  }

  #begin({ ending, graceMs, timeoutMs }: Program): void {
    const { manager, parent } = this.#world;
    const onEnd = (summary?: StopSummary | void): void => {
      this.#ended = true;
      this.#summary = summary ?? undefined;
    };
    if (ending === 'stop') manager.stop({ graceMs, timeoutMs }).then(onEnd);
    else {
      if (ending === 'abort') parent?.fire('the parent is gone');
      manager.kill('the end').then(onEnd);
    }
  }

  /** Nothing is left of the manager but its strays. */
  #checkRest(): void {
    const world = this.#world;
    const { state, abandonedTasks, queueCapacity: _, ...rest } = world.manager.stats();
    if (state !== 'stopped' && state !== 'killed') world.fault(`the manager has ended and is ${state}`);
    for (const [name, value] of Object.entries(rest)) if (value !== 0) world.fault(`${name} is ${value} at the end`);
    const alive = world.functions.live.size;
    // By real time, some may return before we look.
    if (world.time.exact ? abandonedTasks !== alive : abandonedTasks < alive) {
      world.fault(`${abandonedTasks} tasks are abandoned, but ${alive} functions are alive`);
    }
    const timers = world.time.timers() ?? 0;
    if (timers !== 0) world.fault(`${timers} timers are left`);
  }

  #checkSummary(before: ReturnType<World['manager']['metrics']>): void {
    const summary = this.#summary;
    if (summary === undefined) return;
    const now = this.#world.manager.metrics();
    const expected = {
      completed: now.totalTasksCompleted - before.totalTasksCompleted,
      failed: now.totalTasksFailed + now.totalTasksTimedOut - before.totalTasksFailed - before.totalTasksTimedOut,
      canceled: now.totalTasksCanceled - before.totalTasksCanceled,
      abandoned: now.totalTasksAbandoned - before.totalTasksAbandoned,
    };
    for (const [name, value] of Object.entries(expected)) {
      const said = summary[name as keyof StopSummary];
      if (said !== value) this.#world.fault(`the summary says ${said} ${name}, but there were ${value}`);
    }
  }

  /** What may outlive the manager comes to its end too. */
  async #settle(): Promise<void> {
    const { submissions, pending, functions, ledger, time } = this.#world;
    for (const source of submissions.unread) pending.follow('return()', source.return());
    for (const task of submissions.tasks) {
      if (task.handle !== undefined && task.heard === 0) {
        pending.follow(`the result of ${task}`, submissions.hearFrom(task, task.handle.result));
      }
    }
    for (let round = 0; round < 50; round++) {
      functions.release();
      ledger?.release();
      await time.pass(time.exact ? 40 : 5);
      if (functions.live.size + pending.size + (ledger?.creating ?? 0) + this.#world.strays === 0) break;
    }
    await time.pass(time.exact ? 40 : 50); // for the destructions of late creations
  }

  /** Each was told its end once, and they add up to the totals. */
  #checkTasks(): void {
    const world = this.#world;
    const { pending, functions, submissions } = world;
    if (pending.size > 0) world.fault(`still pending: ${pending}`);
    if (functions.live.size > 0) world.fault(`${functions.live.size} functions are still alive`);
    if (world.strays !== 0) world.fault(`${world.strays} strays are counted, but no function is alive`);
    const known = new Map<string, number>();
    for (const task of submissions.tasks) {
      const { handle, heard, outcome, what } = task;
      if (heard > 1 || (heard === 0 && /^(queueTask|try|runTask)/.test(what) && task.stream === undefined)) {
        world.fault(`the end of ${task} was told ${heard} times`);
      }
      if (handle === undefined) continue;
      known.set(handle.state, (known.get(handle.state) ?? 0) + 1);
      if ((handle.state === 'completed') !== outcome?.ok) world.fault(`${task} is ${handle.state}: ${outcome?.value}`);
    }
    const metrics = world.manager.metrics();
    const totals = new Map([
      ['completed', metrics.totalTasksCompleted],
      ['failed', metrics.totalTasksFailed],
      ['timedOut', metrics.totalTasksTimedOut],
      ['canceled', metrics.totalTasksCanceled],
      ['dropped', metrics.totalTasksDropped],
      ['rejected', metrics.totalTasksRejected],
    ]);
    for (const [state, count] of known) {
      if (count > (totals.get(state) ?? 0))
        world.fault(`${count} handles are ${state}, of ${totals.get(state)} in all`);
    }
  }

  /** Every resource was destroyed, once. */
  #checkResources(): void {
    const world = this.#world;
    const { ledger, spec } = world;
    if (ledger === undefined) return;
    for (const { number, destroyed } of ledger.all) {
      if (destroyed !== 1) world.fault(`resource ${number} was destroyed ${destroyed} times`);
    }
    const { totalResourcesCreated, totalResourcesDestroyed } = world.manager.metrics();
    if (totalResourcesCreated !== ledger.all.length || totalResourcesDestroyed !== ledger.all.length) {
      world.fault(`${totalResourcesCreated} created, ${totalResourcesDestroyed} destroyed of ${ledger.all.length}`);
    }
    const most = spec.createConcurrency ?? spec.workerCount;
    if (ledger.mostCreating > most) world.fault(`${ledger.mostCreating} creations at once, but ${most} may be`);
  }
}
