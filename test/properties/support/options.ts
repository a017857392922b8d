/** A manager's options as a spec says, with hooks that look about them, act, and throw. */
import type { Logger, TaskManagerOptions } from '../../../src/manager/index.ts';
import { DefaultCollector, type MetricsCollector } from '../../../src/metrics/index.ts';
import type { CountingCollector } from './collector.ts';
import type { SharedSignal } from './signals.ts';
import { SickError } from './task.ts';
import type { World } from './world.ts';

/** Of a spec, what isn't an option of the same name. */
const OUR_OWN = [
  'more',
  'resource',
  'checkHealth',
  'collectors',
  'hooks',
  'signal',
  'reactions',
  'yieldTasks',
  'scaling',
];

export function optionsFor(
  world: World,
  counting: CountingCollector | undefined,
  parent: SharedSignal | undefined,
): TaskManagerOptions<unknown> {
  const { spec, ledger } = world;
  const { workerCount, more, yieldTasks, scaling, retry, checkHealth } = spec;
  const same = Object.fromEntries(Object.entries(spec).filter(([name]) => !OUR_OWN.includes(name)));
  return {
    ...same,
    maxWorkerCount: workerCount + more,
    yieldAfter: { tasks: yieldTasks },
    clock: world.time.clock,
    logger: loggerFor(world),
    ...(retry !== undefined && { retry: world.submissions.retryOf(retry) as never }),
    ...(parent !== undefined && { signal: parent.source }),
    ...(ledger !== undefined && { onCreate: ledger.create, onDestroy: ledger.destroy as never }),
    ...(checkHealth !== 'none' && { checkHealth: checkFor(world) }),
    ...(scaling !== 'default' && { scaling: policyFor(world) }),
    ...collectorFor(world, counting),
  };
}

function loggerFor(world: World): Logger {
  const log = (): void => world.inHook('logger');
  return { debug: log, info: log, warn: log, error: log };
}

function checkFor(world: World): (error: unknown) => boolean {
  return (error) => {
    world.inHook('checkHealth');
    const isSick = error instanceof SickError;
    if (isSick && world.spec.checkHealth === 'throwing') throw new Error('checkHealth throws');
    return !isSick;
  };
}

function policyFor(world: World): NonNullable<TaskManagerOptions<unknown>['scaling']> {
  return ({ workers, queuedTasks }) => {
    world.inHook('scaling policy');
    if (world.spec.scaling === 'throwing') throw new Error('the scaling policy throws');
    return workers + ((queuedTasks + world.submissions.count) % 4) - 1;
  };
}

function collectorFor(
  { spec, time }: World,
  counting: CountingCollector | undefined,
): { collector?: MetricsCollector | MetricsCollector[] | false } {
  if (spec.collectors === 'none') return { collector: false };
  if (counting === undefined) return {};
  if (spec.collectors === 'counting') return { collector: counting };
  return { collector: [new DefaultCollector({ clock: time.clock }), counting] };
}
