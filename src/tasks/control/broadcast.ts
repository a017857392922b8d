/**
 * One call for each dispatcher that is alive on the engine, in a queue that it alone takes from. A call that nobody will
 * take any more must not wait for ever: it is canceled when its dispatcher stops, when that turns out to be gone, and
 * when it has waited too long. Which of those queues may have calls is a note of the engine, as to look through all calls
 * would cost too much.
 */
import { ulid } from 'ulid';
import type { CallRecord, CallState, Engine, NewCall } from '../../engines/index.ts';
import { isEnded } from '../../engines/moves.ts';
import type { ClockTimer } from '../../go/clock.ts';
import { CanceledError, DeadlineExceededError } from '../../go/errors.ts';
import type { Call } from '../call.ts';
import { checkNumber, checkObject, DURATION } from '../checks.ts';
import { errorToJson } from '../error-json.ts';
import { cancelOne } from '../flows/cancel-nodes.ts';
import { isOwnQueue, ownerOf, ownQueue, queueLane } from '../queues.ts';
import type { AnyTask } from '../registry.ts';
import { scanAll } from '../scan-all.ts';
import type { CallSubmitter } from '../submitter.ts';
import type { SubmitOptions } from '../types.ts';
import { dispatchersOf } from './messenger.ts';

/** What can be said of a broadcast. */
export interface BroadcastOptions extends Omit<SubmitOptions, 'id' | 'queue'> {
  /** How long a call may wait to be begun, from when it is due; then it is canceled. Default 300,000. */
  readonly waitMs?: number | undefined;
}

export interface BroadcasterOptions {
  readonly engine: Engine;
  readonly submitter: CallSubmitter;
  /** Something failed that nobody waits for. */
  report(error: unknown, what: string): void;
}

const NOTE = 'control:broadcasts';
const WAITING: readonly CallState[] = ['scheduled', 'held', 'queued'];
const WAIT_MS = 300_000;

export class Broadcaster {
  readonly #options: BroadcasterOptions;
  readonly #timers = new Set<ClockTimer>();
  #isClosed = false;

  constructor(options: BroadcasterOptions) {
    this.#options = options;
  }

  async broadcast(
    task: AnyTask | string,
    input: unknown,
    options: BroadcastOptions = {},
  ): Promise<Map<string, Call<unknown>>> {
    const { engine, submitter } = this.#options;
    checkObject('options', options);
    const { waitMs = WAIT_MS, ...rest } = options;
    checkNumber('waitMs', waitMs, DURATION);
    for (const name of ['id', 'queue']) {
      if (name in rest) throw new TypeError(`${name} is not an option of a broadcast: each of its calls has its own`);
    }
    const call = await submitter.prepare(task, input, rest, undefined);
    const names = await dispatchersOf(engine);
    if (names.length === 0) return new Map();
    await this.#note(names);
    const calls = await submitter.store(names.map((name) => addressed(call, name, waitMs)));
    this.#cancelLate(calls, engine.clock.now() + call.delayMs + waitMs);
    // Some may have gone meanwhile, and with them whoever would have canceled their calls. All is stored by now.
    await this.sweep();
    return new Map(names.map((name, index) => [name, calls[index]!]));
  }

  /** Cancels what waits for dispatchers that are gone, or has waited too long. */
  async #sweep(): Promise<void> {
    const { engine } = this.#options;
    const noted = await this.#noted();
    if (noted.length === 0) return;
    const alive = new Set(await dispatchersOf(engine));
    for (const name of noted) {
      if (alive.has(name)) await this.#empty(name, (record) => lateness(record, engine));
      else await this.#leave(name, 'is not alive on the engine any more');
    }
  }

  /** Cancels what waits for nobody any more. Its failure is nobody's: the next one looks again. */
  async sweep(): Promise<void> {
    try {
      await this.#sweep();
    } catch (error) {
      this.#options.report(error, 'broadcasts to dispatchers that are gone could not be canceled');
    }
  }

  /** A dispatcher has left the engine. One that has taken its name before is none of its own. */
  async left(name: string): Promise<void> {
    if (!(await this.#noted()).includes(name)) return;
    if (!(await dispatchersOf(this.#options.engine)).includes(name)) await this.#leave(name, 'has stopped');
  }

  /** Dead letters wait once more: those of broadcasts for dispatchers that may be gone. Never rejects. */
  async revived(ids: readonly string[]): Promise<void> {
    const { engine, report } = this.#options;
    try {
      const records = await engine.scan({ id: ids }, { limit: ids.length });
      const names = records.filter(({ queue }) => isOwnQueue(queue)).map(({ queue }) => ownerOf(queue));
      if (names.length === 0) return;
      await this.#note(names);
      await this.#sweep();
    } catch (error) {
      report(error, 'broadcasts that were resubmitted to dispatchers that are gone could not be canceled');
    }
  }

  /** Nothing waits for the time of its calls any more. */
  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers) this.#options.engine.clock.clearTimeout(timer);
    this.#timers.clear();
  }

  async #leave(name: string, why: string): Promise<void> {
    const error = new CanceledError(`the call was for dispatcher ${name} alone, which ${why}`);
    await this.#empty(name, () => error);
    await this.#change((names) => names.filter((each) => each !== name));
    // Once more, as somebody may have broadcast between the two; who does after this has noted it anew.
    await this.#empty(name, () => error);
  }

  /** Cancels what waits in the queue of a dispatcher, for a reason, if there is one. */
  async #empty(name: string, reasonFor: (record: CallRecord) => Error | undefined): Promise<void> {
    const { engine } = this.#options;
    for await (const record of scanAll(engine, { queue: ownQueue(name), state: WAITING })) {
      const reason = reasonFor(record);
      if (reason !== undefined) await cancelOne(engine, record.id, errorToJson(reason));
    }
  }

  #cancelLate(calls: readonly Call<unknown>[], at: number): void {
    const { engine, report } = this.#options;
    if (this.#isClosed || calls.every(({ status }) => isEnded(status))) return;
    const timer = engine.clock.setTimeout(() => {
      this.#timers.delete(timer);
      // Long ones fire early.
      if (engine.clock.now() < at) {
        this.#cancelLate(calls, at);
        return;
      }
      const waiting = calls.filter(({ status }) => WAITING.includes(status));
      Promise.all(
        waiting.map(async ({ id }) => {
          const record = await engine.get(id);
          const reason = record && WAITING.includes(record.state) ? lateness(record, engine) : undefined;
          if (reason !== undefined) await cancelOne(engine, id, errorToJson(reason));
        }),
      ).catch((error: unknown) =>
        report(error, 'calls of a broadcast that have waited too long could not be canceled'),
      );
    }, at - engine.clock.now());
    this.#timers.add(timer);
  }

  async #noted(): Promise<string[]> {
    return parse(await this.#options.engine.read(NOTE));
  }

  async #note(names: readonly string[]): Promise<void> {
    await this.#change((noted) => [...new Set([...noted, ...names])]);
  }

  async #change(change: (names: string[]) => string[]): Promise<void> {
    const { engine } = this.#options;
    for (;;) {
      const before = await engine.read(NOTE);
      const names = change(parse(before)).sort();
      if (await engine.write(NOTE, names.length === 0 ? undefined : JSON.stringify(names), before)) return;
    }
  }
}

/** A call for one dispatcher, among whose own calls alone it has duplicates. */
function addressed(call: NewCall, name: string, waitMs: number): NewCall {
  const queue = ownQueue(name);
  const overrides = call.overrides === undefined ? {} : JSON.parse(call.overrides);
  return {
    ...call,
    id: ulid(),
    queue,
    lanes: [queueLane(queue), ...call.lanes.slice(1)],
    key: call.key === undefined ? undefined : `${queue}\n${call.key}`,
    overrides: JSON.stringify({ ...overrides, waitMs }),
  };
}

/** Why a call that has never begun is to be canceled, if it has waited for too long. */
function lateness({ submittedAt, delayMs, startedAt, overrides }: CallRecord, { clock }: Engine): Error | undefined {
  const { waitMs = WAIT_MS } = JSON.parse(overrides ?? '{}') as { waitMs?: number };
  if (startedAt !== undefined || clock.timeOrigin + clock.now() < submittedAt + delayMs + waitMs) return undefined;
  return new DeadlineExceededError(`the call was for one dispatcher alone, which has not begun it within ${waitMs} ms`);
}

function parse(text: string | undefined): string[] {
  try {
    const names: unknown = JSON.parse(text ?? '[]');
    return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : [];
  } catch {
    return [];
  }
}
