/** What the tests of registered tasks share: a dispatcher on a memory engine in virtual time, and workers that die. */
import type { CallState, ConsumerListener, Delivery, Engine } from '../../src/engines/index.ts';
import {
  type AnyTask,
  type Call,
  type CallContext,
  Dispatcher,
  type DispatcherOptions,
  defineTask,
  memoryEngine,
  type TaskDefinition,
} from '../../src/tasks/index.ts';
import { VirtualClock } from '../../src/testing/index.ts';
import { untilCanceled } from '../manager/kit.ts';

export { deferred, noop, settle, stateOf, untilCanceled, within } from '../manager/kit.ts';

/** Gives what it gets. */
export const echo = defineTask({ name: 'echo', run: (_ctx: CallContext, input: unknown) => input });

/** Ends when it is canceled. */
export const hangs = defineTask({ name: 'hangs', run: untilCanceled });

/** Fails so many times, then gives the number of the attempt. */
export function failing(
  times: number,
  rules: Pick<TaskDefinition<unknown, unknown, number, unknown>, 'retry' | 'deadLetter'> = {},
) {
  return defineTask({
    name: 'failing',
    ...rules,
    run: ({ attempt }: CallContext) => {
      if (attempt <= times) throw new Error(`boom ${attempt}`);
      return attempt;
    },
  });
}

/** A pause that nothing cuts short. */
export function pause(clock: VirtualClock, ms: number): Promise<void> {
  return new Promise((resolve) => clock.setTimeout(resolve, ms));
}

/** A dispatcher that has been started, and the time it lives in. It is stopped when it is disposed of. */
export interface Rig extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly engine: Engine;
  readonly dispatcher: Dispatcher;
}

export type RigOptions = Omit<DispatcherOptions, 'tasks' | 'engine'> & {
  readonly clock?: VirtualClock | undefined;
  /** Made in the time of `clock`. */
  readonly engine?: Engine | undefined;
};

/** Starts a dispatcher of these tasks. */
export async function rigOf(tasks: DispatcherOptions['tasks'] | AnyTask, options: RigOptions = {}): Promise<Rig> {
  const { clock = new VirtualClock(), engine = memoryEngine({ clock }), ...rest } = options;
  const list = Symbol.iterator in tasks ? tasks : [tasks];
  const dispatcher = new Dispatcher({ tasks: list, engine, ...rest });
  await dispatcher.start();
  return {
    clock,
    engine,
    dispatcher,
    [Symbol.asyncDispose]: async () => {
      await passing(clock, dispatcher.stop({ graceMs: 0, timeoutMs: 0 }));
    },
  };
}

/** The outcome of a promise that needs time to pass: lets it pass, a second at a time. */
export async function passing<T>(clock: VirtualClock, promise: Promise<T>): Promise<T> {
  let isSettled = false;
  const settled = (): void => {
    isSettled = true;
  };
  promise.then(settled, settled);
  await clock.advance(0);
  for (let seconds = 0; !isSettled && seconds < 100; seconds++) await clock.advance(1_000);
  if (!isSettled) throw new Error(`still pending at ${clock.now()} ms`);
  return promise;
}

/** Where calls stand, in their order. */
export function statesOf(calls: readonly Call<unknown>[]): CallState[] {
  return calls.map(({ status }) => status);
}

/** The failure of a call that fails. */
export async function failureOf(call: Call<unknown>): Promise<Error & { readonly code?: string }> {
  try {
    await call.result;
  } catch (error) {
    return error as Error;
  }
  throw new Error(`call ${call.id} has completed`);
}

/** Fetches as a process would that dies right after it: it has the calls until their leases expire. */
export async function fetchAndDie(
  engine: Engine,
  max: number,
  leaseMs: number,
  queue = 'default',
): Promise<Delivery[]> {
  const consumer = `dead at ${engine.clock.now()}`;
  const epoch = await engine.begin(consumer, { onWake() {}, onCancel() {}, onMessage() {} });
  const queues = [{ name: queue, max }];
  return engine.fetch({ consumer, epoch, queues, max, room: { default: max }, leaseMs });
}

/** An engine as a process sees it that dies: from then on nothing is answered, and nobody is told anything. */
export interface MortalEngine {
  readonly engine: Engine;
  die(): void;
}

export function mortal(engine: Engine): MortalEngine {
  let isDead = false;
  const forever = new Promise<never>(() => {});
  const listening = (listener: ConsumerListener): ConsumerListener => ({
    onWake: () => isDead || listener.onWake(),
    onCancel: (id, error) => isDead || listener.onCancel(id, error),
    onMessage: (message) => isDead || listener.onMessage(message),
  });
  const call = async (name: keyof Engine, args: unknown[]): Promise<unknown> => {
    if (isDead) return forever;
    if (name === 'begin') args[1] = listening(args[1] as ConsumerListener);
    try {
      return await (engine[name] as (...args: unknown[]) => Promise<unknown>)(...args);
    } finally {
      if (isDead) await forever;
    }
  };
  return {
    engine: new Proxy(engine, {
      get(_, name: keyof Engine) {
        const value = engine[name];
        if (typeof value !== 'function') return value;
        if (name === 'watch') return engine.watch.bind(engine);
        return (...args: unknown[]) => call(name, args);
      },
    }),
    die() {
      isDead = true;
    },
  };
}
