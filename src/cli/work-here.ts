/** The function is called in this very thread. */
import { format } from 'node:util';
import type { TaskContext } from '../manager/index.ts';
import type { MapContext, MapModule } from './import-module.ts';
import { jsonOf, type Work } from './work.ts';

/** A class, as a literal with a getter takes longer to make than all the rest of a call. */
class CallContext implements MapContext {
  readonly attempt: number;
  readonly #ctx: TaskContext<unknown>;
  readonly #say: (text: string) => void;

  constructor(ctx: TaskContext<unknown>, say: (text: string) => void) {
    this.#ctx = ctx;
    this.#say = say;
    this.attempt = ctx.attempt;
  }

  // Made when they are read, as most functions read neither; and to be taken out of it, as `{ signal, log }`.
  get signal(): AbortSignal {
    return this.#ctx.signal;
  }

  get log(): (...values: unknown[]) => void {
    const say = this.#say;
    return (...values) => say(format(...values));
  }
}

export class WorkHere implements Work {
  readonly resources: Work['resources'];
  readonly jsonOf = jsonOf;
  readonly #run: MapModule['run'];
  readonly #say: (text: string) => void;

  constructor({ run, onCreate, onDestroy, checkHealth }: MapModule, say: (text: string) => void) {
    this.resources = { onCreate, onDestroy, checkHealth };
    this.#run = run;
    this.#say = say;
  }

  call(input: unknown, ctx: TaskContext<unknown>, resource: unknown): unknown {
    return this.#run(input, new CallContext(ctx, this.#say), resource);
  }
}
