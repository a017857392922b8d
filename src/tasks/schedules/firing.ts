/** What a schedule submits at a tick: its call, with an id that is the same whoever fires the tick, and how often. */
import { ulid } from 'ulid';
import type { Engine, NewCall } from '../../engines/index.ts';

import { Call } from '../call.ts';
import { messageOf } from '../checks.ts';
import { InvalidInputError } from '../errors.ts';
import type { AnyTask } from '../registry.ts';
import type { CallSubmitter } from '../submitter.ts';
import type { SubmitOptions } from '../types.ts';
import type { ScheduleRules, Tick } from './schedule-options.ts';

/** A second submission for a tick must find the first one: that of a dispatcher that has stalled, say. */
const KEEP_MS = 600_000;

export interface FiringOptions {
  readonly name: string;
  readonly task: AnyTask;
  /** Or a function of the tick. */
  readonly input: unknown;
  readonly rules: ScheduleRules;
  readonly engine: Engine;
  readonly submitter: CallSubmitter;
}

export class Firing {
  readonly #options: FiringOptions;
  readonly #lane: string | undefined;
  /** Whether the engine knows that calls of the lane run one by one. */
  #isLaneKnown = false;

  constructor(options: FiringOptions) {
    this.#options = options;
    this.#lane = options.rules.overlap === 'queue' ? `schedule:${options.name}` : undefined;
  }

  get name(): string {
    return this.#options.name;
  }

  /** Rejects with what would be wrong with the call of such a tick. `beforeSubmit` isn't asked: nothing is submitted. */
  async check(at: number): Promise<void> {
    const tick = this.#tickAt(at);
    const { submitter, task, rules } = this.#options;
    await submitter.check(task, await this.#inputOf(tick), rules.submission);
  }

  /** The call of a tick, checked. Rejects when it is refused. */
  async callAt(at: number, id: string): Promise<NewCall> {
    const tick = this.#tickAt(at);
    const { submitter, task } = this.#options;
    const call = await submitter.prepare(task, await this.#inputOf(tick), this.#optionsOf(tick), undefined);
    const { completedMs, failedMs } = call.retention;
    return {
      ...call,
      id,
      retention: { completedMs: Math.max(completedMs, KEEP_MS), failedMs: Math.max(failedMs, KEEP_MS) },
      lanes: this.#lane === undefined ? call.lanes : [...call.lanes, this.#lane],
    };
  }

  /** Stores it. Rejects when the engine fails: then it can be stored again. */
  async submit(call: NewCall): Promise<void> {
    await this.#tellLane();
    await this.#options.engine.submit(call);
  }

  /** A call out of turn. */
  async now(at: number): Promise<Call<unknown>> {
    const { engine } = this.#options;
    const call = await this.callAt(at, ulid());
    await this.#tellLane();
    return (await Call.of(engine, call.id, engine.submit(call)))!;
  }

  async #tellLane(): Promise<void> {
    if (this.#lane === undefined || this.#isLaneKnown) return;
    await this.#options.engine.limit(this.#lane, { concurrency: 1 });
    this.#isLaneKnown = true;
  }

  #tickAt(at: number): Tick {
    return { schedule: this.name, at: new Date(at) };
  }

  async #inputOf(tick: Tick): Promise<unknown> {
    const { input } = this.#options;
    if (typeof input !== 'function') return input;
    try {
      return await (input as (tick: Tick) => unknown)(tick);
    } catch (error) {
      const when = tick.at.toISOString();
      throw new InvalidInputError(
        `the input function of schedule ${this.name} threw for ${when}: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
  }

  /** With what tells the task that it was a schedule, and when it was due. */
  #optionsOf({ schedule, at }: Tick): SubmitOptions {
    const { submission } = this.#options.rules;
    const headers = { ...submission.context?.headers, schedule, 'scheduled-at': at.toISOString() };
    return { ...submission, context: { ...submission.context, headers } };
  }
}
