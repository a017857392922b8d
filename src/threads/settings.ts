/** The options of `threads()`, checked. */
import { isAbsolute } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ResourceLimits } from 'node:worker_threads';
import { checkNames, checkObject, LIMIT_OR_NOW, optionalNumber, wrongType } from '../manager/checks.ts';
import { messageOf } from '../manager/errors.ts';
import { type LineLogger, tagging } from './output.ts';
import type { ThreadsOptions } from './types.ts';

export interface ThreadSettings {
  readonly href: string;
  readonly terminateAfterMs: number;
  readonly workerData: unknown;
  readonly resourceLimits: ResourceLimits | undefined;
  readonly env: NodeJS.ProcessEnv | undefined;
  readonly execArgv: readonly string[] | undefined;
  readonly logger: LineLogger;
}

const NAMES: readonly (keyof ThreadsOptions)[] = [
  'terminateAfterMs',
  'workerData',
  'resourceLimits',
  'env',
  'execArgv',
  'logger',
];
const LIMITS: readonly (keyof ResourceLimits)[] = [
  'maxYoungGenerationSizeMb',
  'maxOldGenerationSizeMb',
  'codeRangeSizeMb',
  'stackSizeMb',
];

export function checkThreadsOptions(module: unknown, options: ThreadsOptions): ThreadSettings {
  checkObject('options', options);
  checkNames('threads', options, NAMES);
  const { workerData, resourceLimits, env, execArgv, logger } = options;
  if (resourceLimits !== undefined) {
    checkObject('resourceLimits', resourceLimits);
    checkNames('resourceLimits', resourceLimits, LIMITS);
    for (const name of LIMITS)
      optionalNumber(`resourceLimits.${name}`, resourceLimits[name], { min: 0, above: true }, 0);
  }
  try {
    structuredClone(workerData);
  } catch (error) {
    throw wrongType('workerData', `what can be sent to a thread (${messageOf(error)})`, workerData);
  }
  if (env !== undefined) checkObject('env', env);
  if (execArgv !== undefined && !(Array.isArray(execArgv) && execArgv.every((flag) => typeof flag === 'string'))) {
    throw wrongType('execArgv', 'an array of strings', execArgv);
  }
  if (logger !== undefined) {
    checkObject('logger', logger);
    for (const level of ['info', 'warn'] as const) {
      if (typeof logger[level] !== 'function') throw wrongType(`logger.${level}`, 'a function', logger[level]);
    }
  }
  return {
    href: hrefOf(module),
    // setTimeout takes no more than this, which is a lifetime.
    terminateAfterMs: Math.min(
      optionalNumber('terminateAfterMs', options.terminateAfterMs, LIMIT_OR_NOW, 1_000),
      2 ** 31 - 1,
    ),
    workerData,
    resourceLimits,
    env,
    execArgv: execArgv ?? flagsOfThisProcess(),
    logger: logger ?? tagging,
  };
}

/**
 * What threads inherit by themselves: undefined. But of a program given on the command line they would inherit that its
 * text is a module, which no file can be told. Then they get what loads modules, and nothing else: V8's own flags can't be
 * handed on one by one.
 */
function flagsOfThisProcess(): readonly string[] | undefined {
  const flags = process.execArgv;
  if (!flags.some((flag) => flag.startsWith('--input-type'))) return undefined;
  return flags.flatMap((flag, i) => {
    const [, name, value] =
      /^(--import|--require|-r|--loader|--experimental-loader|--conditions|-C)(=.*)?$/.exec(flag) ?? [];
    if (name === undefined) return [];
    return value === undefined && flags[i + 1] !== undefined ? [flag, flags[i + 1]!] : [flag];
  });
}

/** The address of a module, that threads can import wherever they are. */
function hrefOf(module: unknown): string {
  if (module instanceof URL) return module.href;
  if (typeof module === 'string') {
    if (isAbsolute(module)) return pathToFileURL(module).href;
    if (/^(file|data|node):/.test(module)) return module;
  }
  throw wrongType('the module', "a URL or an absolute path, such as new URL('./work.js', import.meta.url)", module);
}
