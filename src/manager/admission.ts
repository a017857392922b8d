/**
 * Who may enter the queue: the bound, what happens at it, and those who wait for room.
 *
 * Invariant: `usage` is the number of queued tasks that take room, and nobody waits while there is some.
 */
import { QueueFullError } from './errors.ts';
import { Heap, type HeapItem } from './heap.ts';
import { List } from './list.ts';
import type { Settings } from './options.ts';
import { TaskQueue } from './queue.ts';
import type { Scheduler } from './scheduler.ts';
import type { Task } from './task.ts';

/** The droppable tasks of one priority, the oldest first. */
interface DropLevel extends HeapItem {
  readonly priority: number;
  readonly tasks: List<Task>;
}

/** What is to become of a submission. */
export type Verdict = 'enter' | 'wait' | QueueFullError;

export class Admission {
  /** Queued tasks that take room. */
  usage = 0;
  /** Submissions that wait for room, by priority and then in order. */
  readonly waiting = new TaskQueue({ byKey: false });
  #full = false;
  /** Has to make way for the task that is about to enter. */
  #victim: Task | undefined;
  /** Which queued tasks may be dropped, the lowest priority first: built when one has to be for the first time. */
  #droppable: Map<number, DropLevel> | undefined;
  readonly #lowest = new Heap<DropLevel>((a, b) => a.priority < b.priority);
  readonly #scheduler: Scheduler;
  readonly #settings: Settings;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
    this.#settings = scheduler.settings;
  }

  /** Whether anything here must hear of the queue getting shorter. */
  get attentive(): boolean {
    return this.#full || this.waiting.size > 0;
  }

  get hasRoom(): boolean {
    return this.usage < this.#settings.maxQueueSize + this.#scheduler.spareWorkers;
  }

  /** Whether the task may enter: to wait there, or because it starts at once. */
  #hasRoomFor(task: Task): boolean {
    return this.hasRoom || (this.#scheduler.couldStart && !this.#scheduler.queue.caps(task));
  }

  /** Decides on a task that can't start at once, and makes room for it where the policy says so. */
  judge(task: Task, priority: number, attempt: boolean): Verdict {
    if (this.usage < this.#settings.maxQueueSize && this.waiting.size === 0) return 'enter';
    // Who comes later doesn't overtake those who wait for the same room.
    const hasRoom = this.#hasRoomFor(task);
    if (hasRoom && this.waiting.size === 0) return 'enter';
    const { maxQueueSize } = this.#settings;
    const overflow = attempt ? 'reject' : (task.terms?.overflow ?? this.#settings.overflow);
    if (overflow === 'wait') return 'wait';
    if (hasRoom) return 'enter';
    if (overflow !== 'reject') {
      const lowest = this.#lowestLevel();
      if (lowest !== undefined && (overflow === 'drop-oldest' || lowest.priority < priority)) {
        this.#victim = overflow === 'drop-oldest' ? lowest.tasks.first!.value : lowest.tasks.last!.value;
        return 'enter';
      }
    }
    return new QueueFullError(
      `the queue is full: it holds ${this.usage} of ${maxQueueSize} tasks. Wait (overflow: 'wait', onSizeLessThan()), shed load, or raise maxQueueSize`,
    );
  }

  entered(task: Task, priority: number): void {
    this.usage++;
    if (this.#droppable !== undefined) this.#addDroppable(task, priority);
  }

  /** What follows from a task's having entered, once all is as it should be for those who hear of it. */
  tell(): void {
    const { maxQueueSize } = this.#settings;
    const victim = this.#victim;
    if (victim !== undefined) {
      // Only now, that its place is taken: nobody finds the queue empty or with room meanwhile.
      this.#victim = undefined;
      const error = new QueueFullError(`dropped for another task: the queue holds its ${maxQueueSize} tasks`);
      this.#scheduler.settlement.drop(victim, error);
    } else if (!this.#full && this.usage >= maxQueueSize && maxQueueSize > 0) {
      this.#full = true;
      this.#scheduler.emit('full');
    }
  }

  left(task: Task): void {
    this.usage--;
    if (task.extras?.dropNode !== undefined) this.#removeDroppable(task);
  }

  /** There may be room now. */
  refill(): void {
    if (this.waiting.size > 0 && !this.#scheduler.ending) {
      for (let task = this.waiting.peek(); task !== undefined; task = this.waiting.peek()) {
        if (!this.#hasRoomFor(task)) break;
        const { priority } = task.extras!;
        this.waiting.remove(task);
        this.#scheduler.enter(task, priority);
      }
    }
    if (this.#full && this.usage < this.#settings.maxQueueSize) {
      this.#full = false;
      this.#scheduler.emit('drain');
    }
  }

  /** Moves a droppable task to another level. */
  moved(task: Task, priority: number): void {
    if (task.extras?.dropNode === undefined) return;
    this.#removeDroppable(task);
    this.#addDroppable(task, priority);
  }

  #lowestLevel(): DropLevel | undefined {
    if (this.#droppable === undefined) {
      this.#droppable = new Map();
      const tasks = [...this.#scheduler.queue].filter((task) => task.extras?.takesRoom ?? true);
      tasks.sort((a, b) => a.queuedAt - b.queuedAt);
      for (const task of tasks) this.#addDroppable(task, this.#scheduler.priorityOf(task));
    }
    return this.#lowest.first;
  }

  #addDroppable(task: Task, priority: number): void {
    const levels = this.#droppable!;
    let level = levels.get(priority);
    if (level === undefined) {
      level = { priority, tasks: new List(), heapIndex: -1 };
      levels.set(priority, level);
      this.#lowest.push(level);
    }
    const extras = task.rare();
    extras.dropNode = level.tasks.push(task);
    extras.priority = priority;
  }

  #removeDroppable(task: Task): void {
    const extras = task.extras!;
    extras.dropNode!.remove();
    extras.dropNode = undefined;
    const level = this.#droppable!.get(extras.priority)!;
    if (level.tasks.size > 0) return;
    this.#droppable!.delete(extras.priority);
    this.#lowest.remove(level);
  }
}
