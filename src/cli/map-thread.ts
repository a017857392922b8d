/**
 * What runs in the threads of `errand map --threads`, around the user's module: a file of its own, dist/cli/map-thread.js.
 * The resource lives here and never leaves, and a value leaves as JSON; so neither has to be what can be cloned.
 */
import { format } from 'node:util';
import { workerData } from 'node:worker_threads';
import { currentContext, type ThreadContext } from '../threads/thread-context.ts';
import { type FailureRecord, messageOf, recordOf } from './failure.ts';
import { importMapModule, type MapContext } from './import-module.ts';
import { marked } from './logged.ts';
import { jsonOf } from './work.ts';

/** What a thread is started with. */
export interface ThreadData {
  /** The module's path. */
  readonly module: string;
}

/** What comes of a call that has thrown. */
export interface ThreadFailure {
  readonly failure: FailureRecord;
  /** Whether the module's `checkHealth` says that the resource is to blame. */
  readonly isBroken: boolean;
}

// Whatever the module makes of them.
const write = process.stderr.write.bind(process.stderr);
const module = await importMapModule((workerData as ThreadData).module);
const creation = new AbortController();
let resource: unknown;

/** As outside of threads: what is made when it is read, and may be taken out of it. */
class CallContext implements MapContext {
  readonly attempt: number;
  readonly #ctx: ThreadContext;

  constructor(ctx: ThreadContext) {
    this.#ctx = ctx;
    this.attempt = ctx.attempt;
  }

  get signal(): AbortSignal {
    return this.#ctx.signal;
  }

  get log(): (...values: unknown[]) => void {
    return (...values) => say(format(...values));
  }
}

function say(text: string): void {
  write(marked(text));
}

/** Makes the resource, if there is to be one: so a thread has answered, and those that have died don't hold up others. */
export async function open(): Promise<void> {
  resource = await module.onCreate?.({ signal: creation.signal });
}

/** The resource isn't wanted any more, while it is made. */
export function giveUp(why: string): void {
  creation.abort(new Error(why));
}

export async function run(input: unknown): Promise<string | ThreadFailure> {
  try {
    return jsonOf(await module.run(input, new CallContext(currentContext()), resource));
  } catch (error) {
    return { failure: recordOf(error), isBroken: isBroken(error) };
  }
}

/** As a TaskManager has it: a check that throws is told of, and counts as bad. */
function isBroken(error: unknown): boolean {
  try {
    return module.checkHealth?.(error) === false;
  } catch (thrown) {
    say(`checkHealth threw: ${messageOf(recordOf(thrown))}`);
    return true;
  }
}

export async function close(): Promise<void> {
  await module.onDestroy?.(resource);
}
