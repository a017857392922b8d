/** What becomes of the functions of a group, for those who want to know. */
import type { Failure } from './receivable.ts';

/** Who hears of a function: how it ended, once, and then, at once or later, that it runs no more. */
export interface Outcome {
  completed(value: unknown): void;
  failed(error: unknown): void;
  returned(): void;
}

/** What is wanted of many functions: their values in order, or the first error of theirs, when none runs any more. */
export class Together {
  readonly values: unknown[];
  failure: Failure | undefined = undefined;
  readonly returned: Promise<void>;
  left: number;
  resolve!: () => void;

  constructor(count: number) {
    this.values = new Array(count);
    this.left = count;
    this.returned = new Promise((resolve) => {
      this.resolve = resolve;
    });
    if (count === 0) this.resolve();
  }
}

/** The outcome of one of them, which the group hears of as well. No private fields: there can be many. */
export class Part implements Outcome {
  private readonly together: Together;
  private readonly index: number;
  private readonly group: Outcome;

  constructor(together: Together, index: number, group: Outcome) {
    this.together = together;
    this.index = index;
    this.group = group;
  }

  completed(value: unknown): void {
    this.together.values[this.index] = value;
  }

  failed(error: unknown): void {
    this.together.failure ??= { error };
    this.group.failed(error);
  }

  returned(): void {
    if (--this.together.left === 0) this.together.resolve();
    this.group.returned();
  }
}
