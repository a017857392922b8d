/** The options of a Dispatcher, checked. */
import { ulid } from 'ulid';
import { type Engine, memoryEngine } from '../engines/index.ts';
import {
  COUNT,
  checkNames,
  checkObject,
  DURATION,
  LIMIT_OR_NOW,
  optionalFunction,
  optionalNumber,
  wrongRange,
  wrongType,
} from '../manager/checks.ts';
import { TaskManager } from '../manager/manager.ts';
import type { Logger } from '../manager/types.ts';
import { checkName } from './checks.ts';
import { FLOWS } from './flows/ids.ts';
import { CONTROL_PREFIX, checkQueues, type QueueMap } from './queues.ts';
import { type AnyTask, TaskRegistry } from './registry.ts';
import type { RunHooks } from './run.ts';
import type { BeforeSubmit } from './submitter.ts';

/** What a Dispatcher is made with. All durations are in ms. */
export interface DispatcherOptions extends RunHooks {
  /** The tasks that can be submitted and run here, or a registry of them. */
  readonly tasks: Iterable<AnyTask> | TaskRegistry;
  /** Where calls wait. Default: a memory engine of its own, which ends with the dispatcher. */
  readonly engine?: Engine | undefined;
  /** The queues it takes calls from, in their order. Default: all that its tasks name, by name. */
  readonly queues?: QueueMap | undefined;
  /** 'strict': a queue's turn comes when those before it are empty; 'weighted': by their weights. Default 'strict'. */
  readonly order?: 'strict' | 'weighted' | undefined;
  /** How many calls it runs at once, of tasks without a manager of their own. Default 10. */
  readonly concurrency?: number | undefined;
  /** The TaskManagers whose resources tasks run on, by the names that definitions use. They stay yours to stop. */
  // biome-ignore lint/suspicious/noExplicitAny: a manager of any resource; each task says which it takes
  readonly managers?: Readonly<Record<string, TaskManager<any>>> | undefined;
  /** How long a call that is run here stays ours without a word. It is renewed in time. Default 30,000. */
  readonly leaseMs?: number | undefined;
  /** The most that an input, an output or what goes along may have, in bytes of JSON. Default 1,000,000. */
  readonly maxPayloadBytes?: number | undefined;
  /** Unique among the dispatchers on the engine. Default: a ULID. */
  readonly name?: string | undefined;
  /** Sees every submission, may change it, or stop it by returning `false`. */
  readonly beforeSubmit?: BeforeSubmit | undefined;
  /** Hears of what no call can be told of. Default: nobody; the `error` event is emitted as well. */
  readonly logger?: Logger | undefined;
}

export interface DispatcherSettings {
  readonly registry: TaskRegistry;
  readonly engine: Engine;
  readonly ownsEngine: boolean;
  readonly queues: QueueMap | undefined;
  readonly order: 'strict' | 'weighted';
  readonly concurrency: number;
  readonly managers: ReadonlyMap<string, TaskManager<unknown>>;
  readonly leaseMs: number;
  readonly maxPayloadBytes: number;
  readonly name: string;
  readonly beforeSubmit: BeforeSubmit | undefined;
  readonly hooks: RunHooks;
  readonly logger: Logger | undefined;
}

const NAMES: readonly (keyof DispatcherOptions)[] = [
  'tasks',
  'engine',
  'queues',
  'order',
  'concurrency',
  'managers',
  'leaseMs',
  'maxPayloadBytes',
  'name',
  'beforeSubmit',
  'beforeRun',
  'afterRun',
  'onError',
  'logger',
];

export function checkDispatcherOptions(options: DispatcherOptions): DispatcherSettings {
  checkObject('options', options);
  checkNames('Dispatcher', options, NAMES);
  const { tasks, engine, queues, order = 'strict', managers = {}, name, logger } = options;
  const { beforeSubmit, beforeRun, afterRun, onError } = options;
  checkObject('tasks', tasks);
  if (engine !== undefined) {
    checkObject('engine', engine);
    if (typeof engine.fetch !== 'function') throw wrongType('engine', 'an engine, such as memoryEngine()', engine);
  }
  if (queues !== undefined) checkQueues(queues);
  if (order !== 'strict' && order !== 'weighted') throw wrongRange('order', "'strict' or 'weighted'", order);
  checkObject('managers', managers);
  for (const [each, manager] of Object.entries(managers)) {
    if (each === FLOWS) throw wrongRange('the name of a manager', 'one of your own', each);
    if (!(manager instanceof TaskManager)) throw wrongType(`managers.${each}`, 'a TaskManager', manager);
  }
  if (name !== undefined) checkName('name', name);
  if (name?.startsWith(CONTROL_PREFIX)) throw wrongRange('name', `one that doesn't begin with ${CONTROL_PREFIX}`, name);
  if (logger !== undefined) checkObject('logger', logger);
  for (const [hook, fn] of Object.entries({ beforeSubmit, beforeRun, afterRun, onError })) optionalFunction(hook, fn);
  const registry = tasks instanceof TaskRegistry ? tasks : new TaskRegistry(tasks);
  return {
    registry,
    engine: engine ?? memoryEngine(),
    ownsEngine: engine === undefined,
    queues,
    order,
    concurrency: optionalNumber('concurrency', options.concurrency, COUNT, 10),
    managers: new Map(Object.entries(managers)),
    leaseMs: optionalNumber('leaseMs', options.leaseMs, DURATION, 30_000),
    maxPayloadBytes: optionalNumber('maxPayloadBytes', options.maxPayloadBytes, COUNT, 1_000_000),
    name: name ?? ulid(),
    beforeSubmit,
    hooks: { beforeRun, afterRun, onError },
    logger,
  };
}

/** How a dispatcher stops. */
export interface DispatcherStopOptions {
  /** How long what runs may go on before it is told to end by its `onShutdown`. Default 5,000. */
  readonly graceMs?: number | undefined;
  /** When to give up on what doesn't end. Default 30,000. */
  readonly timeoutMs?: number | undefined;
}

export function checkStop(options: DispatcherStopOptions): { graceMs: number; timeoutMs: number } {
  checkObject('options', options);
  checkNames('stop', options, ['graceMs', 'timeoutMs']);
  return {
    graceMs: optionalNumber('graceMs', options.graceMs, LIMIT_OR_NOW, 5_000),
    timeoutMs: optionalNumber('timeoutMs', options.timeoutMs, LIMIT_OR_NOW, 30_000),
  };
}
