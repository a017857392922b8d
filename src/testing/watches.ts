/**
 * What a leak tracker watches, a function for each kind: from the call on, it notes what is made, and can say at any
 * time what of that is left. Nothing made before counts.
 *
 * Invariant: after `stop()` everything patched is as it was, and nothing more is noted.
 */
import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { getEventListeners } from 'node:events';
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers';
import { inspect } from 'node:util';
import type { Worker } from 'node:worker_threads';

/** One kind of leak, watched. */
export interface Watch {
  /** What is left now, each in words. */
  left(): string[];
  stop(): void;
}

/** A watch on timers, which also knows how many of those left hold the process. */
export interface TimerWatch extends Watch {
  countReferenced(kind: 'Timeout' | 'Immediate'): number;
}

/** Where something was made; its stack is only put in words when it is read. */
interface Origin {
  readonly stack?: string;
}

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown;
type TimerHandle = NodeJS.Timeout | NodeJS.Immediate;

/** At this many notes, and at each doubling of what is left then, those that are done with are thrown away. */
const PRUNE_AT = 1_024;

function originOf(caller: AnyFunction): Origin {
  const origin: Origin = {};
  Error.captureStackTrace(origin, caller);
  return origin;
}

/** The frames alone, on lines of their own. */
function framesOf({ stack = '' }: Origin): string {
  return stack.slice(stack.indexOf('\n') + 1);
}

/** Whether Node's test runner made it, for itself: tests begin and end while a tracker is at work for a whole file. */
function isRunners(origin: Origin): boolean {
  const maker = framesOf(origin)
    .split('\n')
    .find((frame) => !/\(?node:(internal\/)?events/.test(frame));
  return maker?.includes('node:internal/test_runner') ?? false;
}

/** Timers made by the global functions or those of `node:timers`, unreferenced ones too. */
export function watchTimers(): TimerWatch {
  interface Note {
    readonly timer: TimerHandle;
    readonly call: string;
    readonly origin: Origin;
  }
  let notes: Note[] = [];
  let pruneAt = PRUNE_AT;
  let isActive = true;
  // Node's own mark on a timer that has fired or was cleared, by whatever way: id, dispose and close() are among them.
  const isPending = ({ timer }: Note) => !(timer as { _destroyed?: boolean })._destroyed;

  const restores = (['setTimeout', 'setInterval', 'setImmediate'] as const).map((name) => {
    const original = timers[name] as unknown as AnyFunction;
    const watched: AnyFunction = function (this: unknown, ...args) {
      const timer = original.apply(this, args) as TimerHandle;
      if (!isActive) return timer;
      if (notes.length >= pruneAt) {
        notes = notes.filter(isPending);
        pruneAt = Math.max(PRUNE_AT, 2 * notes.length);
      }
      const call = name === 'setImmediate' ? name : `${name} of ${String(args[1] ?? 0)} ms`;
      notes.push({ timer, call, origin: originOf(watched) });
      return timer;
    };
    Object.defineProperties(watched, Object.getOwnPropertyDescriptors(original)); // its promisified form, its name
    const restoreGlobal = replaceMethod(globalThis, name, watched);
    const restoreModule = replaceMethod(timers, name, watched);
    return () => {
      restoreGlobal();
      restoreModule();
    };
  });
  syncBuiltinESMExports();

  return {
    left() {
      return notes.filter(isPending).map(({ timer, call, origin }) => {
        const unreferenced = timer.hasRef() ? '' : ' (unreferenced)';
        return `a ${call}${unreferenced} is pending, made\n${framesOf(origin)}`;
      });
    },
    countReferenced(kind) {
      const isKind = ({ call }: Note) => (call === 'setImmediate') === (kind === 'Immediate');
      return notes.filter((note) => isKind(note) && isPending(note) && note.timer.hasRef()).length;
    },
    stop() {
      isActive = false;
      for (const restore of restores) restore();
      syncBuiltinESMExports();
    },
  };
}

/**
 * 'abort' listeners, on signals that got one. An aborted signal has called its listeners, and never calls one again:
 * there only those count that were added when it was too late.
 */
export function watchAbortListeners(): Watch {
  interface Note {
    readonly origin: Origin;
    readonly isLate: boolean;
  }
  const signals = new Map<AbortSignal, { before: Set<unknown>; notes: Map<unknown, Note> }>();
  let pruneAt = PRUNE_AT;
  let isActive = true;

  const listenersLeft = (signal: AbortSignal) => {
    const { before, notes } = signals.get(signal)!;
    return getEventListeners(signal, 'abort').filter((listener) => {
      // `signal.onabort = null` leaves its listener, with nothing to call.
      if (before.has(listener) || (listener as { handler?: unknown }).handler === null) return false;
      const note = notes.get(listener);
      return !(signal.aborted && note?.isLate !== true) && !(note !== undefined && isRunners(note.origin));
    });
  };
  const prune = () => {
    for (const signal of signals.keys()) if (listenersLeft(signal).length === 0) signals.delete(signal);
    pruneAt = Math.max(PRUNE_AT, 2 * signals.size);
  };

  const { addEventListener, removeEventListener } = AbortSignal.prototype;
  const add = function (this: AbortSignal, ...args: Parameters<typeof addEventListener>) {
    if (isActive && args[0] === 'abort') {
      let watched = signals.get(this);
      if (watched === undefined) {
        if (signals.size >= pruneAt) prune();
        watched = { before: new Set(getEventListeners(this, 'abort')), notes: new Map() };
        signals.set(this, watched);
      }
      watched.notes.set(args[1], { origin: originOf(add as AnyFunction), isLate: this.aborted });
    }
    addEventListener.apply(this, args);
  };
  const remove = function (this: AbortSignal, ...args: Parameters<typeof removeEventListener>) {
    removeEventListener.apply(this, args);
    const watched = args[0] === 'abort' ? signals.get(this) : undefined;
    if (watched?.notes.delete(args[1]) && watched.notes.size === 0) signals.delete(this);
  };
  const restoreAdd = replaceMethod(AbortSignal.prototype, 'addEventListener', add);
  const restoreRemove = replaceMethod(AbortSignal.prototype, 'removeEventListener', remove);

  return {
    left() {
      return [...signals].flatMap(([signal, { notes }]) =>
        listenersLeft(signal).map((listener) => {
          const origin = notes.get(listener)?.origin;
          const kind = signal.aborted ? 'aborted AbortSignal' : 'AbortSignal';
          return `an 'abort' listener is on an ${kind}, added\n${origin === undefined ? '    out of sight' : framesOf(origin)}`;
        }),
      );
    },
    stop() {
      isActive = false;
      restoreAdd();
      restoreRemove();
    },
  };
}

/** Listeners on `process`, counted by event. */
export function watchProcessListeners(): Watch {
  const runners = new Set<unknown>();
  const onNew = (_: unknown, listener: unknown): void => {
    if (isRunners(originOf(onNew as AnyFunction))) runners.add(listener);
  };
  process.on('newListener', onNew);
  const before = new Map(process.eventNames().map((event) => [event, process.listenerCount(event)]));
  return {
    left() {
      return process.eventNames().flatMap((event) => {
        const listeners = process.listeners(event as NodeJS.Signals).filter((listener) => !runners.has(listener));
        const more = listeners.length - (before.get(event) ?? 0);
        return more > 0 ? [`${more} more listener(s) on process for '${String(event)}'`] : [];
      });
    },
    stop() {
      process.off('newListener', onNew);
    },
  };
}

/** Worker threads and child processes, unreferenced ones too. */
export function watchProcesses(): Watch {
  const workers = new Set<Worker>();
  const children = new Set<ChildProcess>();
  // Node announces a thread a tick after it was made. One made before, by a loader of modules perhaps, is announced in
  // the ticks queued already: before this one.
  let isNew = false;
  process.nextTick(() => {
    isNew = true;
  });
  const onWorker = (worker: Worker) => {
    if (isNew) workers.add(worker);
  };
  const onChild = (message: unknown) => children.add((message as { process: ChildProcess }).process);
  process.on('worker', onWorker);
  subscribe('child_process', onChild);
  return {
    left() {
      const alive = [...children].filter((child) => child.pid !== undefined && child.exitCode === null);
      return [
        // A thread that has ended has the id -1.
        ...[...workers].filter((worker) => worker.threadId !== -1).map(({ threadId }) => `worker thread ${threadId}`),
        ...alive
          .filter(({ signalCode }) => signalCode === null)
          .map(({ pid, spawnfile }) => `child process ${pid}, ${spawnfile}`),
      ].map((what) => `${what} is alive`);
    },
    stop() {
      process.off('worker', onWorker);
      unsubscribe('child_process', onChild);
    },
  };
}

/**
 * Whatever other handles hold the process: servers, sockets, message ports, timers out of sight of `timerWatch`. Node
 * tells only their kind.
 */
export function watchResources(timerWatch: TimerWatch): Watch {
  // Made when first used, and for good.
  void process.stdout;
  void process.stderr;
  const before = countResources();
  return {
    left() {
      return [...countResources()].flatMap(([kind, count]) => {
        // Child processes have a watch of their own, which knows more of them. Requests and writes end by themselves, and
        // loaders of modules make some behind the test's back.
        if (kind === 'ProcessWrap' || kind.includes('Req') || kind.endsWith('WriteWrap')) return [];
        const seen = kind === 'Timeout' || kind === 'Immediate' ? timerWatch.countReferenced(kind) : 0;
        const more = count - seen - (before.get(kind) ?? 0);
        return more > 0 ? [`${more} more active resource(s) of kind ${kind}`] : [];
      });
    },
    stop() {},
  };
}

function countResources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return counts;
}

/** Rejections that nobody handled in time, though somebody may have later. */
export function watchRejections(): Watch {
  const reasons: unknown[] = [];
  const onRejection = (reason: unknown) => reasons.push(reason);
  process.on('unhandledRejection', onRejection);
  return {
    left: () => reasons.map((reason) => `a rejection was not handled: ${inspect(reason)}`),
    stop() {
      process.off('unhandledRejection', onRejection);
    },
  };
}

/** Puts `method` in the place of `target[name]`; the function returned undoes that, unless it was replaced again. */
function replaceMethod<T extends object>(target: T, name: keyof T, method: unknown): () => void {
  const own = Object.getOwnPropertyDescriptor(target, name);
  Object.defineProperty(target, name, { configurable: true, writable: true, enumerable: true, value: method });
  return () => {
    if (target[name] !== method) return;
    if (own === undefined) delete target[name];
    else Object.defineProperty(target, name, own);
  };
}
