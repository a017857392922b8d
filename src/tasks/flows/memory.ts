/**
 * What a run of a flow keeps for whoever takes it up when its coordinator is gone: the memos of its call. What has become
 * of its nodes is written in the order in which it was heard of, and as much at a time as there is.
 *
 * A run goes in rounds: it is in its first until it has failed; if it is then resubmitted, it is in its second, where
 * what had completed isn't run again. A coordinator that takes it up knows by the error that the call has ended with. One
 * that was refused by somebody who doesn't know the flow, say, is in the same round still, as its nodes are under way.
 */
import type { Delivery } from '../../engines/index.ts';
import { type Clock, wallTimeOf } from '../../go/clock.ts';
import type { Run } from '../run.ts';
import { flowErrorOf } from './flow-error.ts';

/** What has become of a call of a node. */
export interface Entry {
  readonly node: string;
  /** Of a node with a call for each item: which. Without it, all have ended. */
  readonly item?: number;
  /** The node's, unless that is empty. */
  readonly shape?: string;
  readonly round: number;
  readonly state: 'completed' | 'failed' | 'canceled';
  /** JSON: its output, or its error. */
  readonly text: string;
}

interface Round {
  readonly number: number;
  /** By the clock on the wall. */
  readonly begunAt: number;
  /** JSON of what the call had failed with when it began. */
  readonly lastError: string | undefined;
}

const ROUND = 'flow:round';
const END = 'flow:end';
const ENTRIES = 'flow:entries:';

/** The round that a call is in that has failed last with this error. Its time, unless it is in a new round or resubmitted. */
function roundOf(
  memo: (key: string) => string | undefined,
  lastError: string | undefined,
): Pick<Round, 'number'> & Partial<Round> {
  const text = memo(ROUND);
  if (text === undefined) return { number: 1 };
  const round = JSON.parse(text) as Round;
  const { number } = round;
  const end = memo(END);
  const hasFailed = lastError !== round.lastError;
  if (lastError !== undefined && end !== undefined) {
    const isItsEnd = (JSON.parse(end) as [number])[0] === number;
    // The call has failed since, or has failed once more with the same.
    if (isItsEnd && (hasFailed || end === endText(number, lastError))) return { number: number + 1 };
  }
  return hasFailed ? { number } : round;
}

/** Only what a hook for errors will leave as it is. */
function endText(round: number, error: string): string {
  return JSON.stringify([round, flowErrorOf(error)]);
}

/** How much of a limit on the time of a round is left for a coordinator that takes it up. */
export function timeLeft({ record, memos }: Delivery, timeoutMs: number, clock: Clock): number {
  const { begunAt } = roundOf((key) => (Object.hasOwn(memos, key) ? memos[key] : undefined), record.error);
  // The least there can be: it has its signal fire at once.
  return begunAt === undefined ? timeoutMs : Math.max(1, begunAt + timeoutMs - wallTimeOf(clock));
}

export class FlowMemory {
  /** Which round it is, from 1. */
  readonly round: number;
  /** Whether another coordinator has begun this round. */
  readonly isTakenUp: boolean;
  readonly #run: Run;
  /** Whether it is written down that it has. */
  readonly #isKnown: boolean;
  #written = 0;
  #unwritten: Entry[] = [];
  #writing: Promise<void> | undefined;

  constructor(run: Run) {
    this.#run = run;
    const { number, begunAt } = roundOf((key) => run.memo(key), run.record.error);
    const last = run.memo(ROUND);
    this.round = number;
    this.isTakenUp = last !== undefined && (JSON.parse(last) as Round).number === number;
    this.#isKnown = begunAt !== undefined;
  }

  /** Resolves when it is known that the round has begun. */
  async begin(): Promise<void> {
    if (this.#isKnown) return;
    const { host, record } = this.#run;
    const round: Round = { number: this.round, begunAt: wallTimeOf(host.clock), lastError: record.error };
    await this.#run.keep(ROUND, JSON.stringify(round));
  }

  /** What was written so far, by all coordinators. */
  *entries(): Generator<Entry> {
    for (;;) {
      const text = this.#run.memo(`${ENTRIES}${this.#written}`);
      if (text === undefined) return;
      this.#written++;
      yield* JSON.parse(text) as Entry[];
    }
  }

  /** Writes something down, soon. */
  note(entry: Entry): void {
    this.#unwritten.push(entry);
    if (this.#writing !== undefined) return;
    this.#writing = this.#writeAll();
    // That the run is lost, those who run it hear of by themselves.
    this.#writing.catch(() => {});
  }

  /** Resolves when all is written. Rejects when somebody else may have the run by now. */
  async written(): Promise<void> {
    await this.#writing;
  }

  /** The round ends with this error, of which the call is to be told next. */
  async end(error: string): Promise<void> {
    await this.written();
    await this.#run.keep(END, endText(this.round, error));
  }

  async #writeAll(): Promise<void> {
    // All that is known in one go is written together.
    await undefined;
    while (this.#unwritten.length > 0) {
      const entries = this.#unwritten;
      this.#unwritten = [];
      await this.#run.keep(`${ENTRIES}${this.#written++}`, JSON.stringify(entries));
    }
    this.#writing = undefined;
  }
}
