/** Which tasks there are, by name and version. */
import { show } from '../go/checks.ts';
import { checkName } from './checks.ts';
import { definitionOf, taskOf } from './define-task.ts';
import type { Definition } from './definition.ts';
import { NotRegisteredError } from './errors.ts';
import type { AnyTask, CallContext, Task } from './types.ts';

export type { AnyTask };

/** What stands in for the `run` of a task, in tests. */
export type Fake<P, R> = (ctx: CallContext, input: P, resource: R) => unknown;

/** Ends what has given it, once. With `using`, at the end of the block. */
export interface Undo extends Disposable {
  (): void;
}

/** A task, and what stands in for it: the last one does. */
interface Entry {
  readonly task: Task;
  readonly fakes: Set<Task>;
  /** Whether it only came along with a flow: then it may be added still. */
  readonly isBrought: boolean;
}

/**
 * The tasks that a dispatcher knows. Several versions of one live side by side.
 *
 * @example
 * const images = [resize, crop];
 * const registry = new TaskRegistry().use(images).add(sendMail);
 */
export class TaskRegistry {
  /** By name, and there by version, the oldest first. */
  #entries = new Map<string, ReadonlyMap<number, Entry>>();
  #revision = 0;
  #hasFlows = false;

  constructor(tasks: Iterable<AnyTask> = []) {
    this.use(tasks);
  }

  /** Adds a task; with a flow, those of its nodes. @throws TypeError when its name is taken in this version, be it by itself */
  add(task: AnyTask): this {
    // Of several that come together, all are added or none.
    if (definitionOf(task).flow !== undefined) return this.use([task]);
    this.#add(task, false);
    this.#revision++;
    return this;
  }

  /** Adds a group of tasks, or all that another registry has: every one of them, or none. */
  use(group: Iterable<AnyTask> | TaskRegistry): this {
    if (typeof (group as Partial<Iterable<AnyTask>> | undefined)?.[Symbol.iterator] !== 'function') {
      throw new TypeError(`tasks must be an iterable of tasks or a TaskRegistry, but is ${show(group)}`);
    }
    const before = this.#entries;
    this.#entries = new Map(before);
    try {
      for (const task of group as Iterable<AnyTask>) this.#add(task, false);
    } catch (error) {
      this.#entries = before;
      throw error;
    }
    this.#revision++;
    return this;
  }

  #add(task: AnyTask, isBrought: boolean): void {
    const { name, version, flow } = definitionOf(task);
    const versions = this.#entries.get(name) ?? new Map<number, Entry>();
    const present = versions.get(version);
    if (present !== undefined && (present.task !== task || !(isBrought || present.isBrought))) {
      const what = present.task === task ? 'has been registered already' : 'is the name of another task here';
      throw new TypeError(`${title(name, version)} ${what}: names are unique together with the version`);
    }
    // Once it was added by itself, it isn't there for the sake of a flow any more.
    const entry = {
      task: task as Task,
      fakes: present?.fakes ?? new Set<Task>(),
      isBrought: isBrought && (present?.isBrought ?? true),
    };
    const entries = [...versions].filter(([each]) => each !== version).concat([[version, entry]]);
    this.#entries.set(name, new Map(entries.sort(([a], [b]) => a - b)));
    if (flow === undefined) return;
    this.#hasFlows = true;
    if (present === undefined) for (const each of flow.tasks) this.#add(each, true);
  }

  /**
   * Has calls of a task, or of all versions of a name, run something else: for tests. Schemas, retries, limits and all
   * other rules stay; of another task only its `run` is taken. Until the function that it gives is called.
   *
   * @example
   * using _ = registry.replace(sendMail, async () => ({ sent: true }));
   * @throws NotRegisteredError when there is none
   */
  replace<I = unknown, P = I, R = unknown>(task: Task<I> | AnyTask | string, fake: Fake<P, R> | AnyTask): Undo {
    const run = (typeof fake === 'function' ? fake : definitionOf(fake, 'fake').run) as Definition['run'];
    const undos = this.#toReplace(task).map((entry) => {
      const stand = taskOf(Object.freeze({ ...definitionOf(entry.task), run }));
      entry.fakes.add(stand);
      return () => entry.fakes.delete(stand);
    });
    const undo = () => {
      for (const one of undos) one();
    };
    return Object.assign(undo, { [Symbol.dispose]: undo });
  }

  #toReplace(task: AnyTask | string): readonly Entry[] {
    if (typeof task === 'string') return [...(this.#entries.get(task) ?? this.#missing(task)).values()];
    const { name, version } = definitionOf(task);
    return [this.#entries.get(name)?.get(version) ?? this.#missing(name, version)];
  }

  /** @internal Whether there has ever been a flow. */
  get hasFlows(): boolean {
    return this.#hasFlows;
  }

  /** @internal Another one as soon as there are more tasks. */
  get revision(): number {
    return this.#revision;
  }

  /** Whether there is a task of this name, and version if one is given. */
  has(name: string, version?: number): boolean {
    const versions = this.#entries.get(name);
    return versions !== undefined && (version === undefined || versions.has(version));
  }

  /** A task, or what stands in for it; without a version the newest. @throws NotRegisteredError */
  get(name: string, version?: number): Task {
    checkName('name', name);
    const versions = this.#entries.get(name) ?? this.#missing(name, version);
    const entry = version === undefined ? [...versions.values()].at(-1)! : versions.get(version);
    return current(entry ?? this.#missing(name, version));
  }

  /**
   * @internal What a call that was submitted with this version is to be run by: its own, else the newest that can migrate its
   * input. It is never run by an older version than its own.
   * @throws NotRegisteredError when there is neither
   */
  resolve(name: string, version: number): Definition {
    const versions = this.#entries.get(name);
    const own = versions?.get(version);
    if (own !== undefined) return definitionOf(current(own));
    const others = [...(versions?.values() ?? [])].map((entry) => definitionOf(current(entry)));
    return (
      others.findLast((other) => other.migrate !== undefined && other.version > version) ??
      this.#missing(name, version, versions && ', and no newer one has a migrate')
    );
  }

  /** All tasks, or what stands in for them, by name and, the oldest first, version. */
  list(): Task[] {
    const names = [...this.#entries.keys()].sort();
    return names.flatMap((name) => [...this.#entries.get(name)!.values()].map(current));
  }

  /** As {@link list}, but the tasks themselves: for the `use` of another registry. */
  *[Symbol.iterator](): IterableIterator<Task> {
    for (const name of [...this.#entries.keys()].sort()) {
      for (const { task } of this.#entries.get(name)!.values()) yield task;
    }
  }

  #missing(name: string, version?: number, also = ''): never {
    const versions = [...(this.#entries.get(name)?.keys() ?? [])];
    const known = versions.length === 0 ? this.#names() : `its versions are ${versions.join(', ')}`;
    throw new NotRegisteredError(`${title(name, version)} is not registered here: ${known}${also}`);
  }

  #names(): string {
    const names = [...this.#entries.keys()].sort();
    if (names.length === 0) return 'there are no tasks';
    const shown = names.slice(0, MOST_NAMES).join(', ');
    return `there are ${shown}${names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : ''}`;
  }
}

/** So many names an error lists. */
const MOST_NAMES = 20;

function current({ task, fakes }: Entry): Task {
  return [...fakes].at(-1) ?? task;
}

function title(name: string, version: number | undefined): string {
  return version === undefined ? `the task ${name}` : `version ${version} of the task ${name}`;
}
