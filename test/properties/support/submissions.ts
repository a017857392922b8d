/** Submits in every way there is, and reads what comes of it in every way there is. */
import type { TaskContext, TaskHandle, TaskStream } from '../../../src/manager/index.ts';
import type { Act, Options, Reading, Retry, Submission } from './program.ts';
import { Task } from './task.ts';
import { sleep } from './time.ts';
import type { World } from './world.ts';

type Method = (...args: unknown[]) => unknown;
/** Every way to submit, by name. */
type Methods = Record<string, Method> & Record<'go' | 'runTaskSync' | 'queueTaskStream', Method>;

export interface Parent {
  readonly ctx: TaskContext<unknown>;
  readonly task: Task;
}

/** What can be read with a loop, or left alone. */
interface Source extends AsyncIterableIterator<unknown> {
  return(): Promise<IteratorResult<unknown>>;
}

const OF_THE_QUEUE = ['priority', 'key', 'overflow', 'queueTimeoutMs'];

export class Submissions {
  readonly tasks: Task[] = [];
  /** Submissions so far, refused ones included. */
  count = 0;
  /** Streams and maps that nobody reads; to be left at the end. */
  readonly unread: Source[] = [];
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** A task of the world's, not submitted yet. */
  make(what: string, of: Pick<Submission, 'options' | 'body'> & Partial<Submission>, parent?: Task): Task {
    const task = new Task(this.tasks.length, what, of, this.#world.time.clock.now(), { parent });
    this.tasks.push(task);
    return task;
  }

  /** Submits to the manager, or to the context of a running task. `ended` resolves at the end, whatever it is. */
  submit(submission: Submission, parent?: Parent): { readonly ended: Promise<unknown> } {
    const { form } = submission;
    const ended = Promise.resolve();
    if (form.kind === 'runTaskSync' && parent !== undefined) return { ended };
    const what = form.kind === 'method' ? `${form.family}${form.variant}` : form.kind;
    const task = this.make(what, submission, parent?.task);
    const methods = (parent?.ctx ?? this.#world.manager) as unknown as Methods;
    const options = this.#optionsOf(task, submission, parent !== undefined);
    this.count++;
    return this.#world.als.run(task, () => {
      switch (form.kind) {
        case 'go':
          methods.go(this.#world.functions.of(task), options);
          return { ended };
        case 'runTaskSync':
          this.#runSync(task, methods);
          return { ended };
        case 'queueTaskStream':
          return { ended: this.#stream(task, methods, options, submission.reading) };
        case 'tryQueueTask':
          return { ended: this.#handle(task, methods[what]!(this.#world.functions.of(task), options), submission) };
        case 'method':
          return { ended: this.#call(task, methods[what]!.bind(methods), options, submission) };
      }
    });
  }

  #call(task: Task, method: Method, options: object, submission: Submission): Promise<unknown> {
    const fn = this.#world.functions.of(task);
    switch ((submission.form as { variant: string }).variant) {
      case 'Async':
        return this.#handle(task, method(fn, options), submission);
      case 'WithCallback':
        return new Promise((resolve) => {
          method(fn, (error: unknown, value?: unknown) => this.#calledBack(task, error, value, resolve), options);
        });
      case 'WithTimeout':
        return this.hearFrom(task, method(fn, task.limitMs, options) as Promise<unknown>);
      default:
        return this.hearFrom(task, method(fn, options) as Promise<unknown>);
    }
  }

  #calledBack(task: Task, error: unknown, value: unknown, resolve: (value: unknown) => void): void {
    const world = this.#world;
    this.#hear(task, error === null, error === null ? value : error);
    if (world.spec.asyncContext && world.als.getStore() !== task) {
      world.fault(`the callback of ${task} is in the async context of ${world.als.getStore()}`);
    }
    resolve(undefined);
    world.inHook('callback');
  }

  #runSync(task: Task, methods: Methods): void {
    try {
      this.#hear(task, true, methods.runTaskSync(this.#world.functions.of(task)));
    } catch (error) {
      this.#hear(task, false, error);
    }
  }

  #optionsOf(task: Task, { form, options }: Partial<Submission> & { options: Options }, isChild: boolean): object {
    const { retry, signal, named, ownResource, ...rest } = options;
    const given = {
      ...rest,
      ...(retry !== undefined && !task.once && { retry: this.retryOf(retry, task) }),
      ...(signal !== undefined && { signal: this.#world.signals.source(signal) }),
      ...(named === true && { id: `number ${task.number}` }),
      ...(isChild && ownResource !== undefined && { ownResource }),
    };
    const unwanted = task.past ? [...OF_THE_QUEUE] : [];
    if (form?.kind === 'method' && form.variant === 'WithTimeout') unwanted.push('timeoutMs');
    return Object.fromEntries(Object.entries(given).filter(([name]) => !unwanted.includes(name)));
  }

  /** A retry policy whose functions look about them, throw, or cancel the very task. */
  retryOf({ backoff, retryIf, ...rest }: Retry, task?: Task): object {
    const world = this.#world;
    const own = (attempt: number): number => {
      world.inHook('backoff');
      if (backoff === 'throwing') throw new Error('backoff throws');
      return attempt;
    };
    return {
      ...rest,
      backoff: backoff === 'own' || backoff === 'throwing' ? own : backoff,
      retryIf: () => {
        world.inHook('retryIf');
        if (retryIf === 'throws') throw new Error('retryIf throws');
        if (retryIf === 'cancels') task?.handle?.cancel('from retryIf');
        return retryIf !== 'never';
      },
    };
  }

  // ---- hearing ------------------------------------------------------------------------------------------------------

  #hear(task: Task, ok: boolean, value: unknown): void {
    task.heard++;
    if (task.heard > 1) this.#world.fault(`the end of ${task} was told ${task.heard} times`);
    if (ok && value !== task.number) this.#world.fault(`${task} was told the value ${value}`);
    task.outcome = { ok, value };
  }

  hearFrom(task: Task, promise: Promise<unknown>): Promise<void> {
    return promise.then(
      (value) => this.#hear(task, true, value),
      (error) => this.#hear(task, false, error),
    );
  }

  #handle(task: Task, submitted: unknown, { reading }: Submission): Promise<void> {
    if (submitted === undefined) {
      this.#hear(task, false, undefined); // tryQueueTask, without room
      return Promise.resolve();
    }
    const handle = submitted as TaskHandle<unknown>;
    task.handle = handle;
    // A handle nobody awaits causes no unhandled rejection; its end is asked for when all is over.
    if (reading === 'never' && task.parent === undefined) return Promise.resolve();
    this.#world.pending.follow(`admitted of ${task}`, handle.admitted);
    return reading === 'iterate' ? this.#iterate(task, handle) : this.hearFrom(task, handle.result);
  }

  async #iterate(task: Task, handle: TaskHandle<unknown>): Promise<void> {
    for await (const outcome of handle) {
      if (outcome.status === 'fulfilled') this.#hear(task, true, outcome.value);
      else this.#hear(task, false, outcome.reason);
    }
  }

  // ---- streams and maps ---------------------------------------------------------------------------------------------

  #stream(task: Task, methods: Methods, options: object, reading: Reading): Promise<unknown> {
    const generator = (ctx: TaskContext<unknown>, resource: unknown) =>
      this.#world.functions.generate(task, ctx, resource);
    const given = { ...options, highWaterMark: task.number % 3 };
    const stream = methods.queueTaskStream(generator, given) as TaskStream<unknown>;
    task.stream = stream;
    if (reading === 'never') {
      this.unread.push(stream as Source);
      return Promise.resolve();
    }
    let next = 0;
    return this.#read(task, stream as Source, reading, (value) => {
      if (value !== next++) this.#world.fault(`${task} streams ${value} where ${next - 1} was due`);
    }).then(
      () => this.#hear(task, true, task.number),
      (error) => this.#hear(task, false, error),
    );
  }

  map(act: Extract<Act, { do: 'map' }>): void {
    const { ordered, settled, highWaterMark, reading, items } = act;
    const world = this.#world;
    const store = this.make(`map of ${items}`, act);
    const { named: _, ...given } = act.options;
    const options = { ...this.#optionsOf(store, { options: given }, false), ordered, highWaterMark };
    let pulled = 0;
    let taken = 0;
    const source = function* (this: Submissions): Generator<Task> {
      while (pulled < items) {
        const item = new Task(pulled++, `item of ${store}`, act, world.time.clock.now(), { store });
        this.count++;
        // Three may be asked for at once before the first is handed out.
        if (pulled - taken > world.mostWorkers + highWaterMark + 3) {
          world.fault(`${store} has pulled ${pulled} items while ${taken} were taken`);
        }
        yield item;
      }
    };
    const map = world.als.run(store, () =>
      world.manager.map(source.call(this), (item, ctx, resource) => world.functions.call(item, ctx, resource), {
        ...options,
        settled: settled as true,
      }),
    );
    if (reading === 'never') {
      this.unread.push(map as unknown as Source);
      return;
    }
    let last = -1;
    const read = this.#read(store, map as unknown as Source, reading, (value) => {
      taken++;
      const index = settled ? (value as { index: number }).index : (value as number);
      if (ordered && reading !== 'iterate' && index <= last) world.fault(`${store} gives ${index} after ${last}`);
      last = index;
    });
    read.then(
      () => {
        const isWhole = reading === 'all' || reading === 'slowly';
        if (settled && isWhole && taken !== pulled) world.fault(`${store} gave ${taken} of ${pulled} outcomes`);
      },
      (error) => {
        if (settled) world.fault(`${store} threw ${error}`);
      },
    );
  }

  /** Reads as told, in the async context of the task. Rejects with what the source throws. */
  #read(task: Task, source: Source, reading: Reading, take: (value: unknown) => void): Promise<void> {
    const loop = async (): Promise<void> => {
      if (reading === 'iterate') {
        for (const { done, value } of await Promise.all([source.next(), source.next(), source.next()])) {
          if (done !== true) take(value);
        }
      }
      for await (const value of source) {
        take(value);
        if (reading === 'some') break;
        if (reading === 'slowly') await sleep(this.#world.time, 5);
      }
    };
    const read = this.#world.als.run(task, loop);
    this.#world.pending.follow(`the reader of ${task}`, read);
    return read;
  }

  // ---- mistakes -----------------------------------------------------------------------------------------------------

  /** A wrong submission is refused with an error that says so. */
  mistake(kind: number): void {
    const { manager, pending } = this.#world;
    const fn = (): number => kind;
    this.count++;
    const wrong = [
      () => manager.queueTask(undefined as never),
      () => manager.queueTask(fn, { priority: Number.NaN }),
      () => manager.queueTask(fn, { nonsense: 1 } as never),
      () => manager.queueTaskOnce(fn, { retry: { attempts: 2 } }),
      () => manager.runTask(fn, { key: 'a' } as never),
    ][kind]!;
    const refused = wrong().then(
      () => this.#world.fault(`mistake ${kind} was accepted`),
      (error) => {
        const says = error instanceof TypeError || error instanceof RangeError;
        if (!says) this.#world.fault(`mistake ${kind} is refused with ${error}`);
      },
    );
    pending.follow(`mistake ${kind}`, refused);
  }
}
