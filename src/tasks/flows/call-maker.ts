/** Makes the calls of a run's nodes, some hundred at a time: checked from end to end, under ids that follow from the run's. */
import { abortable } from 'abort-controller-x';
import type { CallRecord, NewCall } from '../../engines/index.ts';
import { inNextTurn, isTurnOver } from '../../go/turn.ts';
import { errorToJson } from '../error-json.ts';
import { InvalidInputError } from '../errors.ts';
import type { Run } from '../run.ts';
import { nodeCallId } from './ids.ts';
import type { PlanNode } from './plan.ts';
import type { UnderWay } from './under-way.ts';

/** One call: of a node, or of one item of it. */
export interface Job {
  readonly node: PlanNode;
  readonly item: number | undefined;
  readonly input: unknown;
}

/** What the maker asks of the coordinator. */
export interface CallMakerHost {
  /** Fires when the run ends here, or somebody else is to take it up. */
  readonly signal: AbortSignal;
  /** @throws what ends the run here */
  check(): void;
  /** Does something in the engine, again and again if it fails. */
  insist<T>(work: () => Promise<T>): Promise<T>;
  /** A call can't be made. */
  refused(job: Job, error: unknown): void;
}

/** So many calls are made at a time. */
const MOST_AT_ONCE = 500;
/** An outcome is to be there when somebody takes up the run. */
const LEAST_RETENTION_MS = 600_000;

export class CallMaker {
  readonly #run: Run;
  readonly #round: number;
  readonly #underWay: UnderWay<Job | undefined>;
  readonly #host: CallMakerHost;
  /** Calls to be made; those before `#next` have been. */
  #jobs: Job[] = [];
  #next = 0;

  constructor(run: Run, round: number, underWay: UnderWay<Job | undefined>, host: CallMakerHost) {
    this.#run = run;
    this.#round = round;
    this.#underWay = underWay;
    this.#host = host;
  }

  get hasMore(): boolean {
    return this.#next < this.#jobs.length;
  }

  add(job: Job): void {
    this.#jobs.push(job);
  }

  /** Makes some of the calls that are to be made. */
  async makeSome(): Promise<void> {
    const jobs = this.#jobs.slice(this.#next, this.#next + MOST_AT_ONCE);
    this.#next += jobs.length;
    if (this.#next === this.#jobs.length) {
      this.#jobs = [];
      this.#next = 0;
    }
    const calls: NewCall[] = [];
    const made: Job[] = [];
    for (const [index, job] of jobs.entries()) {
      try {
        calls.push(await abortable(this.#host.signal, this.#prepare(job)));
        made.push(job);
      } catch (error) {
        this.#host.check();
        this.#host.refused(job, error);
      }
      this.#host.check();
      // However many there are, others get their turn.
      if (index % 50 === 49 && isTurnOver()) await new Promise<void>(inNextTurn);
    }
    if (calls.length === 0) return;
    const { id } = this.#run.record;
    const records = await this.#host.insist(() => {
      for (const [index, call] of calls.entries()) this.#underWay.add(call.id, made[index]);
      return this.#run.host.engine.submitMany(calls);
    });
    for (const record of records) {
      if (record.parentId === id) this.#underWay.note(record);
      else this.#refuse(record);
    }
  }

  async #prepare({ node, item, input }: Job): Promise<NewCall> {
    const { host, record, caller } = this.#run;
    const call = await host.prepare(node.task, input, node.options, { id: record.id, caller });
    const { completedMs, failedMs } = call.retention;
    return {
      ...call,
      id: nodeCallId(record.id, node.name, item, this.#round, node.chain.length > 1 ? node.shape : undefined),
      retention: {
        completedMs: Math.max(completedMs, LEAST_RETENTION_MS),
        failedMs: Math.max(failedMs, LEAST_RETENTION_MS),
      },
    };
  }

  /** Somebody has submitted a call with the id of a node's. */
  #refuse({ id, task }: CallRecord): void {
    const error = new InvalidInputError(`the id ${id} is taken by another call, of ${task}`);
    this.#underWay.drop(id, { id, state: 'failed', error: errorToJson(error) } as CallRecord);
  }
}
