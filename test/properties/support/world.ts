/**
 * Runs a program and sees that the promises of DESIGN section 1 are kept. It knows a manager by its public face alone.
 *
 * A fault is noted where it is seen (inside of a hook, a throw would be caught), and thrown at the end of the command.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { TaskManager } from '../../../src/manager/index.ts';
import { discrepancy, imbalance } from './books.ts';
import { CountingCollector } from './collector.ts';
import { Ending } from './ending.ts';
import { Functions } from './functions.ts';
import { Ledger } from './ledger.ts';
import { optionsFor } from './options.ts';
import { Pending } from './pending.ts';
import type { Act, Command, ManagerSpec, Program, Reaction } from './program.ts';
import { abortSignal, context, type SharedSignal, SharedSignals } from './signals.ts';
import { Submissions } from './submissions.ts';
import { Task } from './task.ts';
import { type Time, virtualTime } from './time.ts';

/** A promise that was not kept. */
export class Fault extends Error {
  constructor(what: string) {
    super(what);
    this.name = 'Fault';
  }
}

const EVENTS = [
  'idle',
  'empty',
  'full',
  'drain',
  'taskFailed',
  'workerReplaced',
  'scaled',
  'stopping',
  'stopped',
  'error',
] as const;

/** Hooks that act may make others act; not for ever. */
const MOST_NESTED = 3;

export class World {
  readonly spec: ManagerSpec;
  readonly time: Time;
  readonly manager: TaskManager<unknown>;
  readonly submissions: Submissions;
  readonly functions: Functions;
  readonly ledger: Ledger | undefined;
  readonly signals = new SharedSignals();
  readonly pending = new Pending();
  readonly als = new AsyncLocalStorage<Task>();
  /** The signal the manager was given. */
  readonly parent: SharedSignal | undefined;
  /** As many workers as there may ever have been: surplus ones finish their task first. */
  mostWorkers: number;
  readonly #counting: CountingCollector | undefined;
  readonly #reactions: Set<Reaction>;
  readonly #faults: string[] = [];
  #workerCount: number;
  #hookCalls = 0;
  #nested = 0;

  constructor(spec: ManagerSpec, time: Time) {
    this.spec = spec;
    this.time = time;
    this.submissions = new Submissions(this);
    this.functions = new Functions(this);
    this.ledger = spec.resource && new Ledger(spec.resource, this);
    if (spec.collectors === 'counting' || spec.collectors === 'several') {
      this.#counting = new CountingCollector((what) => this.inHook(what));
    }
    if (spec.signal !== 'none') this.parent = spec.signal === 'signal' ? abortSignal() : context();
    this.#reactions = new Set(spec.reactions);
    this.#workerCount = spec.workerCount;
    this.mostWorkers = spec.workerCount + spec.more;
    this.manager = new TaskManager<unknown>(optionsFor(this, this.#counting, this.parent));
    for (const event of EVENTS) this.manager.on(event, () => this.inHook(event));
  }

  // ---- seeing -------------------------------------------------------------------------------------------------------

  fault(what: string): void {
    if (this.#faults.length < 5) this.#faults.push(what);
  }

  throwFaults(): void {
    if (this.#faults.length > 0) throw new Fault(this.#faults.join('\n'));
  }

  /** Functions alive whose worker was given up. */
  get strays(): number {
    return this.manager.stats().abandonedTasks;
  }

  /** What must be so at every instant. */
  look(where: string): void {
    if (this.manager === undefined) return; // in its constructor
    const wrong = imbalance(this.manager);
    if (wrong !== undefined) this.fault(`${where}: ${wrong}`);
    const { count } = this.submissions;
    if (this.#accountedFor > count) this.fault(`${where}: of ${count} submissions, ${this.#accountedFor} are known`);
    const { baseWorkers, burstWorkers } = this.manager.stats();
    if (baseWorkers + burstWorkers > this.mostWorkers) this.fault(`${where}: there are too many workers`);
    const { ended = 0, arrived = 0 } = this.#counting ?? {};
    if (ended > arrived) this.fault(`${where}: a collector was told of ${ended} ends of ${arrived} arrivals`);
  }

  /** Called by whatever a user may hand in. It looks about, acts when the program says so, and throws now and then. */
  inHook(occasion: string): void {
    this.look(`in ${occasion}`);
    const due = [...this.#reactions].find(({ on }) => on === occasion);
    if (due !== undefined && this.manager !== undefined) {
      this.#reactions.delete(due);
      this.act(due.act);
    }
    if (this.spec.hooks === 'throwing' && ++this.#hookCalls % 3 === 0) throw new Error(`${occasion} throws`);
  }

  /** What must be so between two commands. */
  check(after: string): void {
    this.look(after);
    const wrong = discrepancy(this.manager, this.#counting);
    if (wrong !== undefined) this.fault(`${after}: ${wrong}`);
    const { count } = this.submissions;
    if (this.#accountedFor !== count) this.fault(`${after}: of ${count} submissions, ${this.#accountedFor} are known`);
    this.throwFaults();
  }

  /** Submissions that have arrived, were refused, or wait for room. */
  get #accountedFor(): number {
    const { totalTasksArrived, totalTasksRejected } = this.manager.metrics();
    return totalTasksArrived + totalTasksRejected + this.manager.stats().waitingForRoom;
  }

  /** What must be so when everything due has happened: who can move has moved. */
  #checkStill(after: string): void {
    const stats = this.manager.stats();
    if (stats.state === 'stopped' || stats.state === 'killed') return;
    const { live } = this.functions;
    const unsettled = [...live].filter(({ ctx }) => ctx.err === undefined).length;
    if (stats.runningTasks !== unsettled) {
      this.fault(`${after}: ${stats.runningTasks} tasks run, but ${unsettled} functions do`);
    }
    if (stats.stuckWorkers + stats.abandonedTasks !== live.size - unsettled) {
      this.fault(
        `${after}: ${live.size - unsettled} functions outlive their task, but ${stats.stuckWorkers} are stuck`,
      );
    }
    if (stats.state !== 'stopping' && stats.baseWorkers !== this.#workerCount) {
      this.fault(`${after}: there are ${stats.baseWorkers} base workers instead of ${this.#workerCount}`);
    }
    if (stats.state === 'paused') return;
    if (stats.waitingForRoom > 0 && stats.queueUsage < stats.queueCapacity) {
      this.fault(`${after}: ${stats.waitingForRoom} wait for room, but there is some`);
    }
    if (stats.idleWorkers > 0) this.#checkNobodyWaits(after);
  }

  #checkNobodyWaits(after: string): void {
    // Not for a worker, that is: some wait for a resource, or for one certain worker.
    const { tasks } = this.submissions;
    if (tasks.some(({ past, options, starts, heard }) => (past || options.ownResource) && starts + heard === 0)) return;
    if (this.pending.has('runOnEach')) return;
    const ready = this.manager.tasks({ state: 'queued' }).filter(({ attempt, key }) => {
      return attempt === 0 && (key === undefined || this.spec.concurrencyPerKey === undefined);
    });
    if (ready.length > 0) this.fault(`${after}: ${ready.length} tasks are queued, but a worker is idle`);
  }

  // ---- doing --------------------------------------------------------------------------------------------------------

  async perform(command: Command, number: number): Promise<void> {
    const after = `after command ${number} (${command.do})`;
    if (command.do === 'advance') {
      await this.time.pass(command.ms);
      if (this.time.exact) this.#checkStill(after);
    } else if (command.do === 'microtasks') {
      for (let i = 0; i < 10; i++) await undefined;
    } else this.act(command);
    this.check(after);
  }

  act(act: Act): void {
    if (this.#nested === MOST_NESTED) return;
    this.#nested++;
    try {
      this.#act(act);
    } finally {
      this.#nested--;
    }
  }

  #act(act: Act): void {
    const { manager, pending, submissions } = this;
    switch (act.do) {
      case 'submit':
        submissions.submit(act.submission);
        break;
      case 'map':
        submissions.map(act);
        break;
      case 'runOnEach':
        this.#runOnEach(act);
        break;
      case 'cancel':
        this.#cancel(act.which);
        break;
      case 'setPriority':
        this.#pick(act.which)?.handle?.setPriority(act.priority);
        break;
      case 'abort':
        this.signals.fire(act.signal, act.asTimeout ? new DOMException('too late', 'TimeoutError') : 'aborted');
        break;
      case 'cancelBy':
        this.#cancelBy(act.field, act.value);
        break;
      case 'clear':
        manager.clear('cleared');
        break;
      case 'pause':
        this.#unlessEnding(() => manager.pause());
        break;
      case 'recycle':
        this.#unlessEnding(() => manager.recycle());
        break;
      case 'resume':
        manager.resume();
        break;
      case 'release':
        this.functions.release();
        this.ledger?.release();
        break;
      case 'ready':
        pending.follow('ready()', manager.ready());
        break;
      case 'resize':
        this.#resize(act);
        break;
      case 'wait':
        this.#wait(act);
        break;
      case 'mistake':
        submissions.mistake(act.kind);
        break;
      case 'stop':
        pending.follow('stop()', manager.stop({ graceMs: act.graceMs, timeoutMs: act.timeoutMs }));
        break;
      case 'kill':
        pending.follow('kill()', manager.kill('enough'));
        break;
    }
  }

  get isEnding(): boolean {
    const { state } = this.manager.stats();
    return state !== 'running' && state !== 'paused';
  }

  /** What makes no sense once the manager is ending throws a TypeError then. */
  #unlessEnding(act: () => void): void {
    const { isEnding } = this;
    try {
      act();
      if (isEnding) this.fault('what makes no sense at the end was done all the same');
    } catch (error) {
      if (!isEnding || !(error instanceof TypeError)) throw error;
    }
  }

  #resize({ workerCount, more }: Extract<Act, { do: 'resize' }>): void {
    this.#unlessEnding(() => {
      if (!this.isEnding) {
        this.#workerCount = workerCount;
        this.mostWorkers = Math.max(this.mostWorkers, workerCount + more);
      }
      this.manager.resize({ workerCount, maxWorkerCount: workerCount + more });
    });
  }

  #runOnEach({ body }: Extract<Act, { do: 'runOnEach' }>): void {
    const { submissions, manager } = this;
    const { baseWorkers, burstWorkers } = manager.stats();
    const most = this.isEnding ? 1 : baseWorkers + burstWorkers;
    const ahead = this.#accountedFor - submissions.count;
    submissions.count += most;
    const store = submissions.make('runOnEach', { options: {}, body });
    const each = this.als.run(store, () =>
      manager.runOnEach((ctx, resource) => {
        const task = new Task(-1, `one of ${store}`, { options: {}, body: { ...body, children: [] } }, 0, {
          store,
          past: true,
        });
        task.starts = ctx.attempt - 1;
        return this.functions.call(task, ctx, resource);
      }),
    );
    // As many as there are workers, but for those that went while the first were at it.
    submissions.count = Math.max(this.#accountedFor - ahead, submissions.count - most);
    this.pending.follow(`runOnEach of ${store}`, each);
  }

  /** The last but so many of the tasks that can be canceled. */
  #pick(which: number): Task | undefined {
    return this.submissions.tasks.filter(({ handle, stream }) => handle ?? stream).at(-1 - which);
  }

  #cancel(which: number): void {
    const task = this.#pick(which);
    const handle = task?.handle ?? task?.stream;
    if (handle === undefined) return;
    handle.cancel(which % 2 === 0 ? 'because' : new Error('because'));
    if (['waiting', 'queued', 'running'].includes(handle.state))
      this.fault(`${task} is ${handle.state} though canceled`);
  }

  #cancelBy(field: Extract<Act, { do: 'cancelBy' }>['field'], value: number): void {
    const { manager } = this;
    const before = manager.tasks().length;
    const filters = {
      key: { key: ['a', 'b', 'c', 'd'][value] },
      state: { state: (['queued', 'running', 'waiting'] as const)[value % 3] },
      priority: { priority: value },
      predicate: ({ attempt }: { readonly attempt: number }) => attempt === value,
      all: () => true,
    };
    const canceled = manager.cancel(filters[field], 'by filter');
    if (canceled > before) this.fault(`cancel() says ${canceled} of ${before} tasks`);
  }

  #wait({ until, signal }: Extract<Act, { do: 'wait' }>): void {
    const source = signal === undefined ? undefined : this.signals.source(signal);
    const options = source instanceof AbortSignal ? { signal: source } : {};
    const { manager, pending } = this;
    if (until === 'idle') pending.follow('onIdle()', manager.onIdle(options));
    else if (until === 'empty') pending.follow('onEmpty()', manager.onEmpty(options));
    else pending.follow('onSizeLessThan()', manager.onSizeLessThan(2, options));
  }
}

/** Runs a program from its beginning to the very end. */
export async function run(program: Program, time: Time = virtualTime()): Promise<World> {
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', onUnhandled);
  try {
    const world = new World(program.manager, time);
    world.check('at the beginning');
    for (const [number, command] of program.commands.entries()) await world.perform(command, number);
    await new Ending(world).come(program);
    await new Promise((resolve) => setImmediate(resolve));
    if (unhandled.length > 0) throw new Fault(`a rejection was not handled: ${String(unhandled[0])}`);
    return world;
  } finally {
    process.off('unhandledRejection', onUnhandled);
  }
}

/** What a property of programs says: whatever the program, the promises are kept. */
export async function holds(program: Program): Promise<void> {
  await run(program);
}
