/**
 * Runs a program and sees that the promises of DESIGN section 1 are kept. It knows a manager by its public face alone.
 *
 * A fault is noted where it is seen (inside of a hook, a throw would be caught), and thrown at the end of the command.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { background, type CancelCauseFunc, type Context, withCancelCause } from '../../../src/go/context.ts';
import {
  type Logger,
  type StopSummary,
  type TaskContext,
  type TaskHandle,
  TaskManager,
  type TaskManagerOptions,
  type TaskStream,
} from '../../../src/manager/index.ts';
import { DefaultCollector, type MetricsCollector } from '../../../src/metrics/index.ts';
import { discrepancy, imbalance } from './books.ts';
import { CountingCollector } from './collector.ts';
import { Functions } from './functions.ts';
import { Ledger } from './ledger.ts';
import type { Act, Command, ManagerSpec, Options, Program, Reaction, Retry, Submission } from './program.ts';
import { SickError, Task } from './task.ts';
import { realTime, type Time, virtualTime } from './time.ts';

export class Fault extends Error {
  constructor(what: string) {
    super(what);
    this.name = 'Fault';
  }
}

/** Every way to submit, by name. */
type Methods = Record<string, (...args: unknown[]) => unknown>;

interface SharedSignal {
  readonly source: AbortSignal | Context;
  readonly fire: (reason: unknown) => void;
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

export class World {
  readonly spec: ManagerSpec;
  readonly time: Time;
  readonly manager: TaskManager<unknown>;
  readonly functions: Functions;
  readonly ledger: Ledger | undefined;
  readonly als = new AsyncLocalStorage<Task>();
  readonly tasks: Task[] = [];
  /** Submissions so far, refused ones included. */
  submitted = 0;
  readonly #faults: string[] = [];
  readonly #counting: CountingCollector | undefined;
  readonly #signals: SharedSignal[] = [];
  readonly #parent: SharedSignal | undefined;
  /** What must have come to its end when the manager has. */
  readonly #loops = new Set<string>();
  readonly #idleReaders: { return(): Promise<unknown> }[] = [];
  readonly #reactions: Set<Reaction>;
  #mostWorkers: number;
  #workerCount: number;
  #hookCalls = 0;
  #acting = 0;

  constructor(spec: ManagerSpec, time: Time = virtualTime()) {
    this.spec = spec;
    this.time = time;
    this.functions = new Functions(this);
    this.#workerCount = spec.workerCount;
    this.#reactions = new Set(spec.reactions);
    this.#mostWorkers = spec.workerCount + spec.more;
    for (let i = 0; i < 4; i++) this.#signals.push(makeSignal(i));
    const host = {
      time,
      inHook: (what: string) => this.inHook(what),
      fault: (what: string) => this.fault(what),
      get strays() {
        return world.manager.stats().abandonedTasks;
      },
    };
    const world = this;
    this.ledger = spec.resource && new Ledger(spec.resource, host);
    if (spec.collectors === 'counting' || spec.collectors === 'several') {
      this.#counting = new CountingCollector((what) => this.inHook(what));
    }
    if (spec.signal !== 'none') this.#parent = makeSignal(spec.signal === 'signal' ? 0 : 2);
    this.manager = new TaskManager<unknown>(this.#managerOptions());
    for (const event of EVENTS) this.manager.on(event, () => this.inHook(event));
  }

  // ---- seeing -------------------------------------------------------------------------------------------------------

  fault(what: string): void {
    if (this.#faults.length < 5) this.#faults.push(what);
  }

  /** The books must balance, wherever one looks from. */
  look(where: string): void {
    if (this.manager === undefined) return; // in its constructor
    const wrong = imbalance(this.manager);
    if (wrong !== undefined) this.fault(`${where}: ${wrong}`);
    const { waitingForRoom, baseWorkers, burstWorkers } = this.manager.stats();
    const { totalTasksArrived, totalTasksRejected } = this.manager.metrics();
    if (totalTasksArrived + totalTasksRejected + waitingForRoom > this.submitted) {
      this.fault(`${where}: ${this.submitted} submissions, but more are accounted for`);
    }
    if (baseWorkers + burstWorkers > this.#mostWorkers) this.fault(`${where}: there are too many workers`);
    const { ended = 0, arrived = 0 } = this.#counting ?? {};
    if (ended > arrived) this.fault(`${where}: a collector was told of ${ended} ends of ${arrived} arrivals`);
  }

  /** From inside of what a user may hand in, which throws now and then if the spec says so. */
  inHook(what: string): void {
    this.look(`in ${what}`);
    this.#hookCalls++;
    const due = [...this.#reactions].find(({ on }) => on === what);
    if (due !== undefined && this.manager !== undefined) {
      this.#reactions.delete(due);
      this.act(due.act);
    }
    if (this.spec.hooks === 'throwing' && this.#hookCalls % 3 === 0) throw new Error(`${what} throws`);
  }

  check(after: string): void {
    this.look(after);
    const wrong = discrepancy(this.manager, this.#counting);
    if (wrong !== undefined) this.fault(`${after}: ${wrong}`);
    const { waitingForRoom } = this.manager.stats();
    const { totalTasksArrived, totalTasksRejected } = this.manager.metrics();
    if (totalTasksArrived + totalTasksRejected + waitingForRoom !== this.submitted) {
      this.fault(
        `${after}: of ${this.submitted} submissions, ${totalTasksArrived} arrived, ${totalTasksRejected} were refused and ${waitingForRoom} wait`,
      );
    }
    this.#throwFaults();
  }

  /** Submissions the manager has accounted for. */
  #accounted(): number {
    const { totalTasksArrived, totalTasksRejected } = this.manager.metrics();
    return totalTasksArrived + totalTasksRejected + this.manager.stats().waitingForRoom;
  }

  /** When everything due has happened: whoever can move has moved. */
  #checkStill(after: string): void {
    const stats = this.manager.stats();
    if (stats.state === 'stopped' || stats.state === 'killed') return;
    const { live } = this.functions;
    const unsettled = [...live].filter(({ ctx }) => ctx.err === undefined).length;
    if (stats.runningTasks !== unsettled) {
      this.fault(`${after}: ${stats.runningTasks} tasks run, but ${unsettled} functions do`);
    }
    const strays = live.size - unsettled;
    if (stats.stuckWorkers + stats.abandonedTasks !== strays) {
      this.fault(`${after}: ${strays} functions outlive their task, but ${stats.stuckWorkers} are stuck`);
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
    // Not for a worker: for a resource, or for one certain worker.
    if (this.tasks.some(({ past, options, starts, heard }) => (past || options.ownResource) && starts + heard === 0))
      return;
    if ([...this.#loops].some((name) => name.startsWith('runOnEach'))) return;
    const ready = this.manager.tasks({ state: 'queued' }).filter(({ attempt, key }) => {
      return attempt === 0 && (key === undefined || this.spec.concurrencyPerKey === undefined);
    });
    if (ready.length > 0) this.fault(`${after}: ${ready.length} tasks are queued, but a worker is idle`);
  }

  #throwFaults(): void {
    if (this.#faults.length > 0) throw new Fault(this.#faults.join('\n'));
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
    if (this.#acting > 3) return;
    this.#acting++;
    try {
      this.#act(act);
    } finally {
      this.#acting--;
    }
  }

  #act(act: Act): void {
    const { manager } = this;
    const ending = !['running', 'paused'].includes(manager.stats().state);
    switch (act.do) {
      case 'submit':
        void this.submit(act.submission);
        break;
      case 'map':
        this.#map(act);
        break;
      case 'runOnEach': {
        const { baseWorkers, burstWorkers } = manager.stats();
        const most = ending ? 1 : baseWorkers + burstWorkers;
        const others = this.#accounted() - this.submitted;
        // As many as there are workers, but for those that go while the first are at it.
        this.submitted += most;
        const store = this.#task('runOnEach', { options: {}, body: act.body });
        const each = this.als.run(store, () =>
          manager.runOnEach((ctx, resource) => {
            const body = { ...act.body, children: [] };
            const task = new Task(-1, 'one of runOnEach', { options: {}, body }, 0, { store, past: true });
            task.starts = ctx.attempt - 1;
            return this.functions.call(task, ctx, resource);
          }),
        );
        this.submitted = Math.max(this.#accounted() - others, this.submitted - most);
        this.#follow(`runOnEach of ${store}`, each);
        break;
      }
      case 'cancel': {
        const handle = this.#pick(act.which);
        handle?.cancel(act.which % 2 === 0 ? 'because' : new Error('because'));
        if (handle !== undefined && ['waiting', 'queued', 'running'].includes(handle.state)) {
          this.fault(`a canceled task is ${handle.state}`);
        }
        break;
      }
      case 'setPriority': {
        const handle = this.#pick(act.which);
        if (handle !== undefined && 'setPriority' in handle) handle.setPriority(act.priority);
        break;
      }
      case 'abort': {
        const signal = this.#signals[act.signal]!;
        this.#signals[act.signal] = makeSignal(act.signal);
        signal.fire(act.asTimeout ? new DOMException('too late', 'TimeoutError') : 'aborted');
        break;
      }
      case 'cancelBy':
        this.#cancelBy(act.field, act.value);
        break;
      case 'clear':
        manager.clear('cleared');
        break;
      case 'pause':
      case 'recycle':
        if (ending) throwsTypeError(() => manager[act.do as 'pause']());
        else manager[act.do]();
        break;
      case 'resume':
        manager.resume();
        break;
      case 'release':
        this.functions.release();
        this.ledger?.release();
        break;
      case 'ready':
        this.#follow('ready()', manager.ready());
        break;
      case 'resize':
        if (ending) return;
        this.#workerCount = act.workerCount;
        // Surplus workers finish their task first, so there may be as many as there ever were.
        this.#mostWorkers = Math.max(this.#mostWorkers, act.workerCount + act.more);
        manager.resize({ workerCount: act.workerCount, maxWorkerCount: act.workerCount + act.more });
        break;
      case 'wait': {
        const source = act.signal === undefined ? undefined : this.#signals[act.signal]!.source;
        const options = source instanceof AbortSignal ? { signal: source } : {};
        if (act.until === 'idle') this.#follow('onIdle()', manager.onIdle(options));
        else if (act.until === 'empty') this.#follow('onEmpty()', manager.onEmpty(options));
        else this.#follow('onSizeLessThan()', manager.onSizeLessThan(2, options));
        break;
      }
      case 'mistake':
        this.#mistake(act.kind);
        break;
      case 'stop':
        this.#follow('stop()', manager.stop({ graceMs: act.graceMs, timeoutMs: act.timeoutMs }));
        break;
      case 'kill':
        this.#follow('kill()', manager.kill('enough'));
        break;
    }
  }

  #cancelBy(field: string, value: number): void {
    const { manager } = this;
    const before = manager.tasks().length;
    let canceled = 0;
    if (field === 'key') canceled = manager.cancel({ key: ['a', 'b', 'c', 'd'][value] });
    else if (field === 'state')
      canceled = manager.cancel({ state: (['queued', 'running', 'waiting'] as const)[value % 3] });
    else if (field === 'priority') canceled = manager.cancel({ priority: value });
    else if (field === 'predicate') canceled = manager.cancel(({ attempt }) => attempt === value);
    else canceled = manager.cancel(() => true);
    if (canceled > before) this.fault(`cancel() says ${canceled} of ${before} tasks`);
  }

  #pick(which: number): TaskHandle<unknown> | TaskStream<unknown> | undefined {
    const having = this.tasks.filter((task) => task.handle !== undefined || task.stream !== undefined);
    const task = having.at(-1 - which);
    return task?.handle ?? task?.stream;
  }

  /** Wrong submissions are refused with an error that says so. */
  #mistake(kind: number): void {
    const { manager } = this;
    const fn = (): number => this.submitted;
    this.submitted++;
    const wrong: Promise<unknown>[] = [
      () => manager.queueTask(undefined as never),
      () => manager.queueTask(fn, { priority: Number.NaN }),
      () => manager.queueTask(fn, { nonsense: 1 } as never),
      () => manager.queueTaskOnce(fn, { retry: { attempts: 2 } }),
      () => manager.runTask(fn, { key: 'a' } as never),
    ].map((make, index) => (index === kind ? make() : Promise.resolve()));
    this.#follow(
      `mistake ${kind}`,
      wrong[kind]!.then(
        () => this.fault(`mistake ${kind} was accepted`),
        (error) => {
          if (!(error instanceof TypeError || error instanceof RangeError)) this.fault(`mistake ${kind}: ${error}`);
        },
      ),
    );
  }

  // ---- submitting ---------------------------------------------------------------------------------------------------

  #task(what: string, of: Pick<Submission, 'options' | 'body'> & Partial<Submission>, parent?: Task): Task {
    const task = new Task(this.tasks.length, what, of, this.time.clock.now(), { parent });
    this.tasks.push(task);
    return task;
  }

  /** Submits to the manager, or to the context of a running task. `ended` resolves at the end, whatever it is. */
  submit(
    submission: Submission,
    parent?: { readonly ctx: TaskContext<unknown>; readonly task: Task },
  ): { ended: Promise<unknown> } {
    const { form, reading } = submission;
    if (form.kind === 'runTaskSync' && parent !== undefined) return { ended: Promise.resolve() };
    const what = form.kind === 'method' ? `${form.family}${form.variant}` : form.kind;
    const task = this.#task(what, submission, parent?.task);
    const options = this.#optionsOf(task, submission, parent !== undefined);
    const methods = (parent?.ctx ?? this.manager) as unknown as Methods;
    const fn = this.functions.of(task);
    this.submitted++;
    return this.als.run(task, () => {
      if (form.kind === 'go') {
        methods['go']!(fn, options);
        return { ended: Promise.resolve() };
      }
      if (form.kind === 'runTaskSync') {
        try {
          this.#hear(task, true, methods['runTaskSync']!(fn));
        } catch (error) {
          this.#hear(task, false, error);
        }
        return { ended: Promise.resolve() };
      }
      if (form.kind === 'queueTaskStream') {
        const generator = (ctx: TaskContext<unknown>, resource: unknown) =>
          this.functions.generate(task, ctx, resource);
        task.stream = methods['queueTaskStream']!(generator, {
          ...options,
          highWaterMark: task.number % 3,
        }) as TaskStream<unknown>;
        return { ended: this.#readStream(task, task.stream, reading) };
      }
      if (form.kind === 'method' && form.variant === 'WithCallback') {
        return {
          ended: new Promise<void>((resolve) => {
            const callback = (error: unknown, value?: unknown): void => {
              this.#hear(task, error === null, error === null ? value : error);
              if (this.spec.asyncContext && this.als.getStore() !== task) {
                this.fault(`the callback of ${task} is in the async context of ${this.als.getStore()}`);
              }
              resolve();
              this.inHook('callback');
            };
            methods[what]!(fn, callback, options);
          }),
        };
      }
      if (form.kind === 'method' && (form.variant === '' || form.variant === 'WithTimeout')) {
        const promise = form.variant === '' ? methods[what]!(fn, options) : methods[what]!(fn, task.limitMs, options);
        return { ended: this.#hearPromise(task, promise as Promise<unknown>) };
      }
      const handle = methods[what]!(fn, options) as TaskHandle<unknown> | undefined;
      if (handle === undefined) {
        this.#hear(task, false, undefined);
        return { ended: Promise.resolve() };
      }
      task.handle = handle;
      return { ended: this.#readHandle(task, handle, parent === undefined ? reading : 'all') };
    });
  }

  #optionsOf(task: Task, { form, options: given }: Partial<Submission> & { options: Options }, child: boolean): object {
    const { retry, signal, named, ownResource, ...rest } = given;
    const options: Record<string, unknown> = { ...rest };
    if (retry !== undefined && !task.once) options['retry'] = this.#retryOf(retry, task);
    if (signal !== undefined) options['signal'] = this.#signals[signal]!.source;
    if (named === true) options['id'] = `number ${task.number}`;
    if (child && ownResource !== undefined) options['ownResource'] = ownResource;
    if (task.past) for (const name of ['priority', 'key', 'overflow', 'queueTimeoutMs']) delete options[name];
    if (form?.kind === 'method' && form.variant === 'WithTimeout') delete options['timeoutMs'];
    return options;
  }

  #retryOf({ backoff, retryIf, ...rest }: Retry, task?: Task): object {
    const policy = {
      ...rest,
      backoff:
        backoff === 'own' || backoff === 'throwing'
          ? (attempt: number) => {
              this.inHook('backoff');
              if (backoff === 'throwing') throw new Error('backoff throws');
              return attempt;
            }
          : backoff,
      retryIf: () => {
        this.inHook('retryIf');
        if (retryIf === 'throws') throw new Error('retryIf throws');
        if (retryIf === 'cancels') task?.handle?.cancel('from retryIf');
        return retryIf !== 'never';
      },
    };
    return policy;
  }

  #hear(task: Task, ok: boolean, value: unknown): void {
    task.heard++;
    if (task.heard > 1) this.fault(`${task} has ended for the ${task.heard}. time`);
    if (ok && value !== task.number) this.fault(`${task} was told the value ${value}`);
    task.outcome = { ok, value, at: this.time.clock.now() };
  }

  #hearPromise(task: Task, promise: Promise<unknown>): Promise<void> {
    return promise.then(
      (value) => this.#hear(task, true, value),
      (error) => this.#hear(task, false, error),
    );
  }

  async #readHandle(task: Task, handle: TaskHandle<unknown>, reading: string): Promise<void> {
    // A promise nobody awaits is left alone; the end is read when all is over.
    if (reading === 'never') return;
    const admitted = handle.admitted;
    this.#follow(`admitted of ${task}`, admitted);
    if (reading !== 'iterate') return this.#hearPromise(task, handle.result);
    for await (const outcome of handle) {
      if (outcome.status === 'fulfilled') this.#hear(task, true, outcome.value);
      else this.#hear(task, false, outcome.reason);
    }
  }

  #readStream(task: Task, stream: TaskStream<unknown>, reading: string): Promise<unknown> {
    if (reading === 'never') {
      this.#idleReaders.push(stream);
      return Promise.resolve();
    }
    const read = async (): Promise<void> => {
      if (reading === 'iterate') {
        await Promise.all([stream.next(), stream.next(), stream.next()]);
        return;
      }
      let next = 0;
      for await (const value of stream) {
        if (value !== next++) this.fault(`${task} streams ${value} where ${next - 1} was due`);
        if (reading === 'some') break;
        if (reading === 'slowly') await this.sleep(5);
      }
    };
    const ended = read().then(
      () => {
        if (reading !== 'iterate') this.#hear(task, true, task.number);
      },
      (error) => {
        if (reading !== 'iterate') this.#hear(task, false, error);
      },
    );
    this.#follow(`the reader of ${task}`, ended);
    return ended;
  }

  #map(act: Extract<Act, { do: 'map' }>): void {
    const { ordered, settled, highWaterMark, reading, items } = act;
    const store = this.#task(`map of ${items}`, act);
    let pulled = 0;
    let taken = 0;
    const world = this;
    function* source(): Generator<Task> {
      for (let index = 0; index < items; index++) {
        pulled++;
        world.submitted++;
        if (pulled - taken > world.#mostWorkers + highWaterMark + 3) {
          world.fault(`${store} has pulled ${pulled} items while ${taken} were taken`);
        }
        const item = new Task(index, `item of ${store}`, act, world.time.clock.now(), { store });
        yield item;
      }
    }
    const { named: _, ...given } = act.options;
    const options = { ...this.#optionsOf(store, { options: given }, false), ordered, highWaterMark };
    this.als.run(store, () => {
      const results = this.manager.map(source(), (item, ctx, resource) => this.functions.call(item, ctx, resource), {
        ...options,
        settled: settled as true,
      }) as AsyncIterableIterator<unknown>;
      if (reading === 'never') {
        this.#idleReaders.push(results as AsyncIterableIterator<unknown> & { return(): Promise<unknown> });
        return;
      }
      const read = async (): Promise<void> => {
        if (reading === 'iterate') {
          const nexts = await Promise.all([results.next(), results.next(), results.next()]);
          taken += nexts.filter(({ done }) => !done).length;
        }
        let last = -1;
        for await (const result of results) {
          taken++;
          const index = settled ? (result as { index: number }).index : (result as number);
          if (ordered && reading !== 'iterate' && index <= last) this.fault(`${store} gives ${index} after ${last}`);
          last = index;
          if (reading === 'some') break;
          if (reading === 'slowly') await this.sleep(5);
        }
        if (settled && reading !== 'some' && taken !== pulled)
          this.fault(`${store} gave ${taken} of ${pulled} outcomes`);
      };
      this.#follow(
        `the reader of ${store}`,
        read().catch((error) => {
          if (settled) this.fault(`${store} threw ${error}`);
        }),
      );
    });
  }

  /** Sees to it that a promise is settled when all is over, whichever way. */
  #follow(what: string, promise: Promise<unknown>): void {
    const name = `${what} #${this.#loops.size}`;
    this.#loops.add(name);
    const done = (): void => {
      this.#loops.delete(name);
    };
    promise.then(done, done);
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.time.clearTimeout(timer);
        reject(signal!.reason);
      };
      const timer = this.time.setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      if (signal?.aborted) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  // ---- ending -------------------------------------------------------------------------------------------------------

  async finish({ ending, graceMs, timeoutMs }: Program): Promise<void> {
    const { manager } = this;
    const { state } = manager.stats();
    const untouched = state === 'running' || state === 'paused';
    const before = manager.metrics();
    let summary: StopSummary | undefined;
    let ended = false;
    const whenEnded = (result: StopSummary | void): void => {
      ended = true;
      if (result !== undefined) summary = result;
    };
    if (ending === 'stop') manager.stop({ graceMs, timeoutMs }).then(whenEnded);
    else if (ending === 'abort' && this.#parent !== undefined) {
      this.#parent.fire('the parent is gone');
      manager.kill().then(whenEnded);
    } else manager.kill('the end').then(whenEnded);
    const most = timeoutMs + 2 * this.spec.killGraceMs + 100;
    const began = this.time.clock.now();
    while (!ended && this.time.clock.now() - began <= most) await this.time.pass(this.time.exact ? 50 : 5);
    if (!ended) this.fault(`the manager has not ended: ${JSON.stringify(manager.stats())}`);
    this.check('at the end');
    this.#checkEnded();
    if (summary !== undefined && untouched && this.#counting !== undefined) {
      const now = manager.metrics();
      if (summary.completed !== now.totalTasksCompleted - before.totalTasksCompleted)
        this.fault('the summary is wrong');
      if (summary.canceled !== now.totalTasksCanceled - before.totalTasksCanceled) this.fault('the summary is wrong');
    }
    this.#throwFaults();
    await this.#settleTheRest();
    this.#checkTotals();
    this.#throwFaults();
  }

  #checkEnded(): void {
    const stats = this.manager.stats();
    const { state, abandonedTasks, queueCapacity: _, ...rest } = stats;
    if (state !== 'stopped' && state !== 'killed') this.fault(`the manager has ended and is ${state}`);
    for (const [name, value] of Object.entries(rest)) if (value !== 0) this.fault(`${name} is ${value} at the end`);
    const strays = this.functions.live.size;
    if (abandonedTasks !== strays) {
      this.fault(`${abandonedTasks} tasks are abandoned, but ${strays} functions are alive`);
    }
    const timers = this.time.timers();
    if (timers !== undefined && timers !== 0) this.fault(`${timers} timers are left`);
  }

  /** What is left of the functions and readers comes to its end. */
  async #settleTheRest(): Promise<void> {
    for (const reader of this.#idleReaders) this.#follow('return()', reader.return());
    for (let round = 0; round < 20; round++) {
      this.functions.release();
      this.ledger?.release();
      await this.time.pass(this.time.exact ? 40 : 5);
      if (this.functions.live.size === 0 && this.#loops.size === 0 && this.#creating === 0) break;
    }
    await this.time.pass(40);
    for (const task of this.tasks) {
      if (task.handle !== undefined && task.heard === 0) void this.#hearPromise(task, task.handle.result);
    }
    await this.time.pass(0);
  }

  get #creating(): number {
    return this.ledger?.creating ?? 0;
  }

  #checkTotals(): void {
    const { manager } = this;
    if (this.#loops.size > 0) this.fault(`still pending: ${[...this.#loops].join('; ')}`);
    if (this.functions.live.size > 0) this.fault(`${this.functions.live.size} functions are still alive`);
    const stats = manager.stats();
    if (stats.abandonedTasks !== 0) this.fault(`${stats.abandonedTasks} strays are left, but no function is alive`);
    const known: Record<string, number> = {};
    let unknown = 0;
    for (const task of this.tasks) {
      if (task.handle === undefined && task.heard === 0) {
        unknown++;
        if (/^(queueTask|runTask)/.test(task.what) && task.stream === undefined) {
          this.fault(`${task} is pending for ever`);
        }
        continue;
      }
      if (task.heard !== 1) this.fault(`the end of ${task} was told ${task.heard} times`);
      const state = task.handle?.state;
      if (state === undefined) continue;
      known[state] = (known[state] ?? 0) + 1;
      if ((state === 'completed') !== task.outcome?.ok) this.fault(`${task} is ${state}, but ${task.outcome?.value}`);
    }
    const metrics = manager.metrics();
    const totals: Record<string, number> = {
      completed: metrics.totalTasksCompleted,
      failed: metrics.totalTasksFailed,
      timedOut: metrics.totalTasksTimedOut,
      canceled: metrics.totalTasksCanceled,
      dropped: metrics.totalTasksDropped,
      rejected: metrics.totalTasksRejected,
    };
    for (const [state, count] of Object.entries(known)) {
      if (totals[state] === undefined) this.fault(`${count} handles are ${state}`);
      else if (count > totals[state]) this.fault(`${count} handles are ${state}, but the total is ${totals[state]}`);
    }
    void unknown;
    this.#checkResources();
  }

  #checkResources(): void {
    const { ledger, manager, spec } = this;
    if (ledger === undefined) return;
    for (const { number, destroyed } of ledger.all) {
      if (destroyed !== 1) this.fault(`resource ${number} was destroyed ${destroyed} times`);
    }
    const { totalResourcesCreated, totalResourcesDestroyed } = manager.metrics();
    if (totalResourcesCreated !== ledger.all.length) this.fault(`${totalResourcesCreated} resources created`);
    if (totalResourcesDestroyed !== ledger.all.length) this.fault(`${totalResourcesDestroyed} resources destroyed`);
    const most = spec.createConcurrency ?? spec.workerCount;
    if (ledger.mostCreating > most) this.fault(`${ledger.mostCreating} creations at once, but ${most} may be`);
  }

  // ---- making -------------------------------------------------------------------------------------------------------

  #managerOptions(): TaskManagerOptions<unknown> {
    const { spec } = this;
    const {
      more,
      resource: _,
      checkHealth,
      collectors: __,
      hooks: ___,
      signal: ____,
      reactions: _____,
      yieldTasks,
      scaling,
      retry,
      ...rest
    } = spec;
    const logger: Logger = {
      debug: () => this.inHook('logger'),
      info: () => this.inHook('logger'),
      warn: () => this.inHook('logger'),
      error: () => this.inHook('logger'),
    };
    return {
      ...rest,
      maxWorkerCount: spec.workerCount + more,
      yieldAfter: { tasks: yieldTasks },
      clock: this.time.clock,
      logger,
      ...(retry !== undefined && { retry: this.#retryOf(retry) as never }),
      ...(this.#parent !== undefined && { signal: this.#parent.source }),
      ...(this.ledger !== undefined && { onCreate: this.ledger.create, onDestroy: this.ledger.destroy as never }),
      ...(checkHealth !== 'none' && {
        checkHealth: (error: unknown) => {
          this.inHook('checkHealth');
          if (checkHealth === 'throwing' && error instanceof SickError) throw new Error('checkHealth throws');
          return !(error instanceof SickError);
        },
      }),
      ...(scaling !== 'default' && {
        scaling: ({ workers, queuedTasks }) => {
          this.inHook('scaling policy');
          if (scaling === 'throwing') throw new Error('the scaling policy throws');
          return workers + ((queuedTasks + this.tasks.length) % 4) - 1;
        },
      }),
      ...this.#collectorOption(),
    };
  }

  #collectorOption(): { collector?: MetricsCollector | MetricsCollector[] | false } {
    const { collectors } = this.spec;
    if (collectors === 'none') return { collector: false };
    if (collectors === 'default') return {};
    if (collectors === 'counting') return { collector: this.#counting! };
    return { collector: [new DefaultCollector({ clock: this.time.clock }), this.#counting!] };
  }
}

function makeSignal(slot: number): SharedSignal {
  if (slot < 2) {
    const controller = new AbortController();
    return { source: controller.signal, fire: (reason) => controller.abort(reason) };
  }
  const [source, cancel]: [Context, CancelCauseFunc] = withCancelCause(background());
  return { source, fire: (reason) => cancel(reason) };
}

function throwsTypeError(fn: () => void): void {
  try {
    fn();
  } catch (error) {
    if (error instanceof TypeError) return;
    throw error;
  }
  throw new Fault('this should have thrown a TypeError');
}

/** Runs a program from its beginning to the very end. */
export async function run(program: Program, time: Time = virtualTime()): Promise<World> {
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', onUnhandled);
  try {
    const world = new World(program.manager, time);
    world.check('at the beginning');
    let number = 0;
    for (const command of program.commands) await world.perform(command, number++);
    await world.finish(program);
    await new Promise((resolve) => setImmediate(resolve));
    if (unhandled.length > 0) throw new Fault(`a rejection was not handled: ${String(unhandled[0])}`);
    return world;
  } finally {
    process.off('unhandledRejection', onUnhandled);
  }
}

export { realTime, virtualTime };
