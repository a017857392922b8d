/**
 * A dispatcher for tests: on an engine in memory with faults to switch on, in a time that only moves when the test says
 * so, with fakes for the tasks that would do real work. After Replicante's mock tasks and mock workers.
 */
import { type CallState, type Engine, isEnded, memoryEngine } from '../engines/index.ts';
import { DeadlineExceededError } from '../go/errors.ts';
import { type CallInfo, describeCall } from '../tasks/call-info.ts';
import { checkNames, checkObject, LIMIT_OR_NOW, optionalNumber, wrongType } from '../tasks/checks.ts';
import {
  type AnyTask,
  Dispatcher,
  type DispatcherOptions,
  type DispatcherStopOptions,
  type DispatcherStopSummary,
  type Fake,
  type Task,
  TaskRegistry,
  type Undo,
} from '../tasks/index.ts';
import { type FaultyEngine, faultyEngine } from './faulty-engine.ts';
import { type PoppedCall, Popper } from './popped-call.ts';
import { VirtualClock } from './virtual-clock.ts';

/** What {@link testDispatcher} can be told. All that a Dispatcher can, but for the engine, which it makes. */
export interface TestDispatcherOptions extends Omit<DispatcherOptions, 'engine'> {
  /** The time that it lives in: give it to the TaskManagers of `managers` too. Default: one of its own. */
  readonly clock?: VirtualClock | undefined;
  /** What runs in the place of tasks, by their names. */
  readonly fakes?: Readonly<Record<string, Fake<never, never>>> | undefined;
}

/** What bounds a wait, in virtual time. */
export interface WithinOptions {
  /** How long to wait at most, in ms. */
  readonly withinMs?: number | undefined;
}

const DAY_MS = 86_400_000;
const LIVE: readonly CallState[] = ['submitted', 'scheduled', 'held', 'queued', 'started'];
/** So many an error names. */
const MOST_NAMED = 5;

/**
 * Makes a dispatcher for a test. It isn't started: `runAll()` does that, or `dispatcher.start()`, and until then
 * `popCall()` takes calls in its place.
 *
 * @example
 * await using t = testDispatcher({ tasks: [report, sendMail], fakes: { 'mail.send': () => ({ sent: true }) } });
 * await t.dispatcher.submit(report, { day: '2026-01-01' }, { delayMs: 3_600_000 });
 * const calls = await t.runAll(); // an hour passes at once
 * assert.deepEqual(calls.map(({ state }) => state), ['completed', 'completed']);
 * @throws TypeError or RangeError when an option is wrong, NotRegisteredError for a fake of no task
 */
export function testDispatcher(options: TestDispatcherOptions): TestDispatcher {
  return new TestDispatcher(options);
}

/** A dispatcher, and what a test does with it. With `await using` it is stopped at the end. */
export class TestDispatcher implements AsyncDisposable {
  /** What is tested. */
  readonly dispatcher: Dispatcher;
  /** Where its calls wait, with faults to switch on. */
  readonly engine: FaultyEngine;
  /** Drives it all: delays, retries, timeouts, limits, schedules. */
  readonly clock: VirtualClock;
  /** Without the faults: what the test itself does is to work. */
  readonly #memory: Engine;
  readonly #popper: Popper;

  /** @internal */
  constructor(options: TestDispatcherOptions) {
    checkObject('options', options);
    const { clock = new VirtualClock(), fakes = {}, tasks, ...rest } = options;
    if (!(clock instanceof VirtualClock)) throw wrongType('clock', 'a VirtualClock', clock);
    checkObject('fakes', fakes);
    if ('engine' in rest) throw new TypeError('engine is made by the test dispatcher: leave it out');
    this.clock = clock;
    this.#memory = memoryEngine({ clock });
    this.engine = faultyEngine(this.#memory);
    // One of its own, so that fakes are of this test alone.
    const registry = new TaskRegistry(tasks);
    for (const [name, fake] of Object.entries(fakes)) registry.replace(name, fake);
    this.#popper = new Popper(
      this.#memory,
      ({ task, version }) => registry.has(task, version) && registry.resolve(task, version).deadLetter,
    );
    this.dispatcher = new Dispatcher({ ...rest, tasks: registry, engine: this.engine });
  }

  /** Has calls of a task run something else, until the function that it gives is called. */
  fake<I = unknown, P = I, R = unknown>(task: Task<I> | AnyTask | string, fake: Fake<P, R> | AnyTask): Undo {
    return this.dispatcher.tasks.replace(task, fake);
  }

  /** Lets time pass; without any, lets things settle. */
  advance(ms = 0): Promise<void> {
    return this.clock.advance(ms);
  }

  /**
   * Lets time pass, from timer to timer, until all calls have ended, those included that are submitted meanwhile.
   * Starts the dispatcher if it wasn't. Resolves to the calls that have ended meanwhile, in the order of their ends.
   * Rejects with a DeadlineExceededError that names those that haven't ended within `withinMs`, by default a day.
   *
   * What waits for the real world, as for I/O, has a moment to come to its end, and no more: fake it.
   */
  async runAll(options: WithinOptions = {}): Promise<CallInfo[]> {
    const withinMs = checkWithin(options, DAY_MS);
    const ended: CallInfo[] = [];
    const unwatch = this.#memory.watch(undefined, (event) => {
      if (event.type === 'state' && isEnded(event.record.state)) ended.push(describeCall(event.record));
    });
    try {
      if (this.dispatcher.state === 'new') await this.#pass(this.dispatcher.start(), withinMs, 'the start');
      const isOver = await this.#passUntil(async () => !(await this.#isAnyLive()), withinMs);
      if (!isOver) throw new DeadlineExceededError(await this.#stillLive(withinMs));
      return ended;
    } finally {
      unwatch();
    }
  }

  /**
   * The outcome of something that needs time to pass: lets it pass until then. Rejects with a DeadlineExceededError when
   * it is still pending after `withinMs`, by default a day.
   *
   * @example
   * assert.equal(await t.until(call.result), 42);
   */
  async until<T>(promise: PromiseLike<T>, options: WithinOptions = {}): Promise<T> {
    return this.#pass(promise, checkWithin(options, DAY_MS), 'the promise');
  }

  /**
   * Takes the most urgent call, of one task or of all, in the place of the dispatcher, which must not have been started:
   * the test looks at it, and has it complete or fail. Limits don't hold it back. Undefined when there is none within
   * `withinMs`, by default at once.
   *
   * @example
   * const mail = await t.popCall(sendMail);
   * assert.equal(mail?.input.to, 'you@example.com');
   * await mail?.complete({ sent: true });
   */
  popCall<I, O>(task: Task<I, O>, options?: WithinOptions): Promise<PoppedCall<I, O> | undefined>;
  popCall(task?: string, options?: WithinOptions): Promise<PoppedCall | undefined>;
  async popCall(task?: AnyTask | string, options: WithinOptions = {}): Promise<PoppedCall | undefined> {
    const withinMs = checkWithin(options, 0);
    if (this.dispatcher.state === 'running') {
      throw new TypeError('popCall takes calls in the place of the dispatcher, but that has been started');
    }
    const wanted = typeof task === 'object' ? task.name : task;
    if (wanted !== undefined) this.dispatcher.tasks.get(wanted);
    let popped: PoppedCall | undefined;
    await this.#passUntil(async () => {
      popped = await this.#popper.pop({ task: wanted });
      return popped !== undefined;
    }, withinMs);
    return popped;
  }

  /** Stops the dispatcher, as long as that takes in virtual time. */
  stop(options?: DispatcherStopOptions): Promise<DispatcherStopSummary> {
    return this.until(this.dispatcher.stop(options));
  }

  /** Stops the dispatcher at once, and closes the engine. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.engine.comeUp();
    await this.stop({ graceMs: 0, timeoutMs: 0 });
    await this.engine.close();
  }

  async #isAnyLive(): Promise<boolean> {
    const counts = await this.#memory.count({});
    return LIVE.some((state) => counts[state] > 0);
  }

  async #stillLive(withinMs: number): Promise<string> {
    const live = await this.#memory.scan({ state: LIVE }, { limit: Number.POSITIVE_INFINITY });
    const named = live.slice(-MOST_NAMED).map(({ id, task, queue, state }) => `${task} (${id}, ${state} in ${queue})`);
    const more = live.length > MOST_NAMED ? ` and ${live.length - MOST_NAMED} more` : '';
    return `after ${withinMs} ms there are calls that have not ended: ${named.reverse().join(', ')}${more}`;
  }

  async #pass<T>(promise: PromiseLike<T>, withinMs: number, what: string): Promise<T> {
    let isSettled = false;
    const settled = (): void => {
      isSettled = true;
    };
    promise.then(settled, settled);
    if (await this.#passUntil(async () => isSettled, withinMs)) return promise;
    throw new DeadlineExceededError(`${what} is still pending after ${withinMs} ms of virtual time`);
  }

  /** Lets time pass, from timer to timer, until something is so, or it is too late. */
  async #passUntil(isSo: () => Promise<boolean>, withinMs: number): Promise<boolean> {
    const { clock } = this;
    const end = clock.now() + withinMs;
    await clock.advance(0);
    while (!(await isSo())) {
      const next = clock.nextTimerAt;
      if (next === undefined || next > end) {
        if (end < Number.POSITIVE_INFINITY) await clock.advanceTo(end);
        return isSo();
      }
      await clock.advanceTo(Math.max(next, clock.now()));
    }
    return true;
  }
}

function checkWithin(options: WithinOptions, fallback: number): number {
  checkObject('options', options);
  checkNames('a wait', options, ['withinMs']);
  return optionalNumber('withinMs', options.withinMs, LIMIT_OR_NOW, fallback);
}
