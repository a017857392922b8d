/** The managers that calls run on: how much room there is on each, and who runs there. */
import type { Clock } from '../go/clock.ts';
import type { ShutdownError } from '../manager/errors.ts';
import { TaskManager } from '../manager/manager.ts';
import { FLOWS } from './flows/ids.ts';
import type { Run } from './run.ts';

export interface StaffOptions {
  readonly clock: Clock;
  readonly concurrency: number;
  /** Others work on them too. */
  readonly managers: ReadonlyMap<string, TaskManager<unknown>>;
  /** Whether there are flows whose runs can be taken. */
  readonly hasFlows: () => boolean;
  /** There may be room where there was none. */
  readonly onRoom: () => void;
  /** What goes wrong beside a run: in what it has deferred, say. */
  readonly onError: (error: unknown) => void;
}

const DEFAULT = 'default';

export class Staff {
  readonly #options: StaffOptions;
  /** The one of the dispatcher itself. */
  #own: TaskManager<unknown> | undefined;
  /** The one of those who run flows, once there has been one. */
  #coordinators: TaskManager<unknown> | undefined;
  /** Runs whose function hasn't returned yet, and of those the ones that wait for a worker, by manager. */
  readonly #alive = new Map<string, number>();
  readonly #waiting = new Map<string, number>();

  constructor(options: StaffOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, concurrency, managers, onRoom, onError } = this.#options;
    for (const manager of managers.values()) manager.on('drain', onRoom).on('idle', onRoom);
    if (managers.has(DEFAULT)) return;
    this.#own = new TaskManager<unknown>({
      workerCount: concurrency,
      maxWorkerCount: concurrency,
      burstIntervalMs: 0,
      collector: false,
      clock,
    });
    this.#own.on('error', onError);
  }

  /** Whether no function is alive. */
  get isIdle(): boolean {
    return this.#alive.size === 0;
  }

  room(): Record<string, number> {
    const { concurrency, managers } = this.#options;
    // Of no prototype: a manager may have any name.
    const room = Object.create(null) as Record<string, number>;
    if (this.#own !== undefined) room[DEFAULT] = concurrency - (this.#alive.get(DEFAULT) ?? 0);
    for (const [name, manager] of managers) room[name] = this.#roomOf(name, manager);
    // There is always room, and one at a time takes least from the queues' shares in what the others have.
    if (this.#options.hasFlows()) room[FLOWS] = 1;
    return room;
  }

  /** All managers, by the names that tasks use. */
  *all(): Generator<readonly [string, TaskManager<unknown>]> {
    if (this.#own !== undefined) yield [DEFAULT, this.#own];
    yield* this.#options.managers;
  }

  launch(run: Run): void {
    const { manager } = run.record;
    count(this.#alive, manager, 1);
    count(this.#waiting, manager, 1);
    if (manager === FLOWS) {
      this.#coordinators ??= this.#makeCoordinators();
      run.start(this.#coordinators, false);
      return;
    }
    const shared = this.#options.managers.get(manager);
    run.start(shared ?? this.#own!, shared !== undefined);
  }

  /** Its function begins: it waits no more. True where others work too: then one more may stand in their line. */
  begun(run: Run): boolean {
    const { manager } = run.record;
    count(this.#waiting, manager, -1);
    return this.#options.managers.has(manager);
  }

  /** Its function has returned, or will never begin. */
  freed(run: Run): void {
    const { manager } = run.record;
    count(this.#alive, manager, -1);
    if (!run.hasBegun) count(this.#waiting, manager, -1);
  }

  /** Lets the managers go, and ends the own one: at once if something lives on there. */
  async end(reason: ShutdownError): Promise<void> {
    const { managers, onRoom } = this.#options;
    for (const manager of managers.values()) manager.off('drain', onRoom).off('idle', onRoom);
    await Promise.all([this.#endOne(DEFAULT, this.#own, reason), this.#endOne(FLOWS, this.#coordinators, reason)]);
  }

  async #endOne(name: string, manager: TaskManager<unknown> | undefined, reason: ShutdownError): Promise<void> {
    await (this.#alive.has(name) ? manager?.kill(reason) : manager?.stop());
  }

  /** As many as there are: they only wait, and they must not wait for one another. Nor are they ever given up. */
  #makeCoordinators(): TaskManager<unknown> {
    const { clock, onError } = this.#options;
    const manager = new TaskManager<unknown>({
      workerCount: 1,
      maxWorkerCount: 1,
      burstIntervalMs: 0,
      resourcePoolSize: 0,
      maxTemporary: Number.POSITIVE_INFINITY,
      abandonAfterMs: Number.POSITIVE_INFINITY,
      collector: false,
      clock,
    });
    return manager.on('error', onError);
  }

  /** Where others work too, one call may stand in their line, or it would never have its turn. */
  #roomOf(name: string, manager: TaskManager<unknown>): number {
    if (this.#waiting.has(name)) return 0;
    const { state, idleWorkers, queuedTasks, queueUsage, queueCapacity } = manager.stats();
    if (state !== 'running' && state !== 'paused') return 0;
    const inLine = queueUsage < queueCapacity ? 1 : 0;
    return state === 'paused' ? inLine : Math.max(idleWorkers - queuedTasks, inLine);
  }
}

function count(counts: Map<string, number>, name: string, by: 1 | -1): void {
  const sum = (counts.get(name) ?? 0) + by;
  if (sum === 0) counts.delete(name);
  else counts.set(name, sum);
}
