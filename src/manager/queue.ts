/**
 * The order of queued tasks: by priority, then in turns by key, then first in, first out.
 *
 * A level is a priority; a lane is one key's tasks in a level; the lanes of a level take turns on a ring. A heap holds
 * the levels that have a lane on their ring. Every operation is O(1), or O(log p) in the number p of levels.
 *
 * Invariants: a level is in the heap exactly when its ring isn't empty. A lane is on its level's ring, parked with its
 * key (which is at `concurrencyPerKey`), or empty and forgotten. A key below its limit has no parked lane, or one on
 * a ring for each free place.
 */
import { Heap, type HeapItem } from './heap.ts';
import type { Extras, Task } from './task.ts';

/** A key under `concurrencyPerKey`: how many of its tasks run, and its lanes that wait for one of them to end. */
export class KeyUse {
  readonly key: string;
  running = 0;
  lanes = 0;
  readonly parked = new Heap<Lane>((a, b) => a.rank() < b.rank());

  constructor(key: string) {
    this.key = key;
  }
}

/** The tasks of one key in one level, first in, first out; those that ran before come first, in their old order. */
export class Lane implements HeapItem {
  readonly level: Level;
  readonly key: string | undefined;
  readonly use: KeyUse | undefined;
  first: Task | undefined = undefined;
  last: Task | undefined = undefined;
  retries: Heap<Extras> | undefined = undefined;
  /** Neighbours on the ring; itself when alone; undefined when not on it. */
  previousLane: Lane | undefined = undefined;
  nextLane: Lane | undefined = undefined;
  heapIndex = -1;

  constructor(level: Level, key: string | undefined, use: KeyUse | undefined) {
    this.level = level;
    this.key = key;
    this.use = use;
  }

  get empty(): boolean {
    return this.first === undefined && (this.retries === undefined || this.retries.first === undefined);
  }

  head(): Task | undefined {
    return this.retries?.first?.task ?? this.first;
  }

  /** Less comes first. */
  rank(): number {
    return this.level.queue.rank(this);
  }
}

export class Level implements HeapItem {
  readonly queue: TaskQueue;
  readonly priority: number;
  /** Less comes first: the negated priority, or with ageing the head's time of submission, moved by the priority. */
  rank: number;
  readonly lane: Lane;
  lanes: Map<string, Lane> | undefined = undefined;
  /** Whose turn it is. */
  turn: Lane | undefined = undefined;
  parked = 0;
  heapIndex = -1;

  constructor(queue: TaskQueue, priority: number) {
    this.queue = queue;
    this.priority = priority;
    this.rank = -priority;
    this.lane = new Lane(this, undefined, undefined);
  }
}

function outranks(a: Level, b: Level): boolean {
  // Ageing can make ranks equal; then the priority decides.
  return a.rank < b.rank || (a.rank === b.rank && a.priority > b.priority);
}

export interface TaskQueueOptions {
  readonly agingMs?: number | undefined;
  readonly concurrencyPerKey?: number | undefined;
  /** Whether keys take turns. Default true. */
  readonly byKey?: boolean | undefined;
}

export class TaskQueue {
  size = 0;
  /** Of the queued, those above priority 0. */
  prioritySize = 0;
  readonly #levels = new Map<number, Level>();
  readonly #heap = new Heap<Level>(outranks);
  readonly #zero: Level;
  readonly #uses = new Map<string, KeyUse>();
  readonly #agingMs: number | undefined;
  readonly #perKey: number | undefined;
  readonly #byKey: boolean;

  constructor(options: TaskQueueOptions = {}) {
    this.#agingMs = options.agingMs;
    this.#perKey = options.concurrencyPerKey;
    this.#byKey = options.byKey ?? true;
    this.#zero = new Level(this, 0);
    this.#levels.set(0, this.#zero);
  }

  /** Whether a task could be taken now. */
  get ready(): boolean {
    return this.#settleTop() !== undefined;
  }

  /** Whether nothing stands before a new task that has no key. */
  get clear(): boolean {
    return this.#heap.items.length === 0;
  }

  /** Whether the cap on its key would hold back a new task. */
  caps(task: Task): boolean {
    const { extras } = task;
    if (this.#perKey === undefined || extras?.key === undefined || extras.parent !== undefined) return false;
    return (this.#uses.get(extras.key)?.running ?? 0) >= this.#perKey;
  }

  /** The task that would be taken next. */
  peek(): Task | undefined {
    return this.#settleTop()?.turn?.head();
  }

  /** At the end of its lane. */
  push(task: Task, priority: number): void {
    const lane = this.#laneFor(task, priority);
    const last = lane.last;
    task.home = lane;
    task.previous = last;
    task.next = undefined;
    lane.last = task;
    if (last === undefined) lane.first = task;
    else last.next = task;
    this.#added(lane, last === undefined);
  }

  /** At the place of its submission, before all that never ran. */
  pushAgain(task: Task, priority: number): void {
    const lane = this.#laneFor(task, priority);
    task.home = lane;
    lane.retries ??= new Heap<Extras>((a, b) => a.task.queuedAt < b.task.queuedAt);
    lane.retries.push(task.extras!);
    this.#added(lane, true);
  }

  /** Takes the next task. Its `home` still is the lane it came from. */
  take(): Task | undefined {
    const level = this.#settleTop();
    if (level === undefined) return undefined;
    const lane = level.turn!;
    const { first } = lane;
    const next = first?.next;
    if (next !== undefined && lane === level.lane && lane.nextLane === lane && lane.retries === undefined) {
      // The common case, a queue without keys that isn't emptied by this: all the rest of it doesn't matter.
      lane.first = next;
      next.previous = undefined;
      first!.next = undefined;
      this.size--;
      if (level.priority > 0) this.prioritySize--;
      if (this.#agingMs !== undefined) this.#rerank(level);
      return first;
    }
    const task = lane.head()!;
    const use = lane.use;
    if (use !== undefined) use.running++;
    this.#unlink(lane, task);
    // The lane may be gone by now; if not, the turn passes on.
    if (level.turn === lane && lane.nextLane !== undefined) level.turn = lane.nextLane;
    if (use !== undefined) this.#unpark(use);
    this.#rerank(level);
    return task;
  }

  /** Takes a given task out of the queue. */
  remove(task: Task): void {
    const lane = task.home as Lane;
    this.#unlink(lane, task);
    this.#rerank(lane.level);
    // The lane may have had the place that its key has free, and be gone: then another is to have it.
    if (lane.use !== undefined) this.#unpark(lane.use);
    task.home = undefined;
  }

  /** A task taken from a counted lane has ended. */
  release(use: KeyUse): void {
    use.running--;
    this.#unpark(use);
    this.#forget(use);
  }

  /** All tasks, level by level; in each lane from its first. The queue must not change meanwhile. */
  *[Symbol.iterator](): Generator<Task> {
    const levels = [...this.#levels.values()].sort((a, b) => b.priority - a.priority);
    for (const level of levels) {
      yield* tasksOf(level.lane);
      for (const lane of level.lanes?.values() ?? []) yield* tasksOf(lane);
    }
  }

  rank(lane: Lane): number {
    const { priority } = lane.level;
    if (this.#agingMs === undefined) return -priority;
    const head = lane.head();
    return head === undefined ? Number.POSITIVE_INFINITY : head.queuedAt - priority * this.#agingMs;
  }

  #laneFor(task: Task, priority: number): Lane {
    let level = priority === 0 ? this.#zero : this.#levels.get(priority);
    if (level === undefined) {
      level = new Level(this, priority);
      this.#levels.set(priority, level);
    }
    const extras = task.extras;
    // Under concurrencyPerKey a child runs in its parent's turn: it is neither counted nor held back, for its parent
    // may hold the very place it would wait for.
    if (extras === undefined || extras.key === undefined || !this.#byKey) return level.lane;
    if (this.#perKey !== undefined && extras.parent !== undefined) return level.lane;
    level.lanes ??= new Map();
    let lane = level.lanes.get(extras.key);
    if (lane === undefined) {
      lane = new Lane(level, extras.key, this.#perKey === undefined ? undefined : this.#useOf(extras.key));
      level.lanes.set(extras.key, lane);
      if (lane.use !== undefined) lane.use.lanes++;
    }
    return lane;
  }

  #useOf(key: string): KeyUse {
    let use = this.#uses.get(key);
    if (use === undefined) {
      use = new KeyUse(key);
      this.#uses.set(key, use);
    }
    return use;
  }

  #added(lane: Lane, newHead: boolean): void {
    const level = lane.level;
    this.size++;
    if (level.priority > 0) this.prioritySize++;
    if (!newHead) return;
    if (lane.heapIndex >= 0) lane.use!.parked.update(lane);
    else if (lane.nextLane === undefined) this.#join(lane);
    if (this.#agingMs !== undefined) this.#rerank(level);
  }

  /** Puts a lane at the end of its level's ring. */
  #join(lane: Lane): void {
    const level = lane.level;
    const turn = level.turn;
    if (turn === undefined) {
      lane.previousLane = lane;
      lane.nextLane = lane;
      level.turn = lane;
      if (this.#agingMs !== undefined) level.rank = this.rank(lane);
      this.#heap.push(level);
    } else {
      const last = turn.previousLane!;
      lane.previousLane = last;
      lane.nextLane = turn;
      last.nextLane = lane;
      turn.previousLane = lane;
    }
  }

  /** Takes a lane off its level's ring. */
  #leave(lane: Lane): void {
    const level = lane.level;
    if (lane.nextLane === lane) {
      level.turn = undefined;
      this.#heap.remove(level);
    } else {
      lane.previousLane!.nextLane = lane.nextLane;
      lane.nextLane!.previousLane = lane.previousLane;
      if (level.turn === lane) level.turn = lane.nextLane;
    }
    lane.previousLane = undefined;
    lane.nextLane = undefined;
  }

  #unlink(lane: Lane, task: Task): void {
    const level = lane.level;
    this.size--;
    if (level.priority > 0) this.prioritySize--;
    if (task.extras !== undefined && task.extras.heapIndex >= 0) lane.retries!.remove(task.extras);
    else {
      const { previous, next } = task;
      if (previous === undefined) lane.first = next;
      else previous.next = next;
      if (next === undefined) lane.last = previous;
      else next.previous = previous;
      task.previous = undefined;
      task.next = undefined;
    }
    if (!lane.empty) {
      if (lane.heapIndex >= 0) lane.use!.parked.update(lane);
      return;
    }
    if (lane.nextLane !== undefined) this.#leave(lane);
    const use = lane.use;
    if (use !== undefined) {
      use.lanes--;
      if (lane.heapIndex >= 0) {
        use.parked.remove(lane);
        level.parked--;
      }
      this.#forget(use);
    }
    if (lane.key !== undefined) level.lanes!.delete(lane.key);
    if (level.turn === undefined && level.parked === 0 && level.priority !== 0) this.#levels.delete(level.priority);
  }

  /** The level that is next, with a lane that may run at its turn: lanes of keys at their limit are parked on the way. */
  #settleTop(): Level | undefined {
    for (;;) {
      const level = this.#heap.first;
      if (level === undefined) return undefined;
      const lane = level.turn!;
      const use = lane.use;
      if (use === undefined || use.running < this.#perKey!) return level;
      this.#leave(lane);
      use.parked.push(lane);
      level.parked++;
      this.#rerank(level);
    }
  }

  /** Brings back the best of a key's parked lanes, if the key has a place for it. */
  #unpark(use: KeyUse): void {
    const lane = use.parked.first;
    if (lane === undefined || use.running >= this.#perKey!) return;
    use.parked.remove(lane);
    lane.level.parked--;
    this.#join(lane);
    this.#rerank(lane.level);
  }

  #forget(use: KeyUse): void {
    if (use.running === 0 && use.lanes === 0) this.#uses.delete(use.key);
  }

  #rerank(level: Level): void {
    if (this.#agingMs === undefined || level.turn === undefined) return;
    level.rank = this.rank(level.turn);
    this.#heap.update(level);
  }
}

function* tasksOf(lane: Lane): Generator<Task> {
  for (const extras of [...(lane.retries?.items ?? [])].sort((a, b) => a.task.queuedAt - b.task.queuedAt)) {
    yield extras.task;
  }
  for (let task = lane.first; task !== undefined; task = task.next) yield task;
}
