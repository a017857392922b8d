/** Calls of a task again and again, until one gives what is waited for. */
import { abortable, execute } from 'abort-controller-x';
import type { Clock } from '../go/clock.ts';
import { DeadlineExceededError } from '../go/errors.ts';
import type { Call } from './call.ts';
import { checkFunction, checkNumber, checkObject, DURATION_OR_NONE, LIMIT_OR_NOW, wrongType } from './checks.ts';
import type { SubmitOptions } from './types.ts';

/** How `poll` asks. */
export interface PollOptions extends Omit<SubmitOptions, 'id'> {
  /** The pause between two calls. Default 1,000. */
  readonly everyMs?: number | undefined;
  /** When to give up. Default 60,000. */
  readonly untilMs?: number | undefined;
  /** Ends it early. */
  readonly signal?: AbortSignal | undefined;
}

export interface Poll<O> {
  readonly clock: Clock;
  /** What is called, for errors. */
  readonly name: string;
  readonly submit: (options: SubmitOptions) => Promise<Call<O>>;
  readonly until: (output: O) => boolean | PromiseLike<boolean>;
}

export async function poll<O>({ clock, name, submit, until }: Poll<O>, options: PollOptions): Promise<O> {
  checkObject('options', options);
  const { everyMs = 1_000, untilMs = 60_000, signal, ...submission } = options;
  checkFunction('until', until);
  checkNumber('everyMs', everyMs, DURATION_OR_NONE);
  checkNumber('untilMs', untilMs, LIMIT_OR_NOW);
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw wrongType('signal', 'an AbortSignal', signal);
  signal?.throwIfAborted();
  const end = new AbortController();
  const onAbort = (): void => end.abort(signal!.reason);
  const onTime = (): void =>
    end.abort(new DeadlineExceededError(`${name} has not given what was waited for within ${untilMs} ms`));
  signal?.addEventListener('abort', onAbort);
  const timer = untilMs === Number.POSITIVE_INFINITY ? undefined : clock.setTimeout(onTime, untilMs, true);
  try {
    for (;;) {
      const output = await outcomeOf(submit(submission), end.signal);
      if (await until(output)) return output;
      await pause(end.signal, everyMs, clock);
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    clock.clearTimeout(timer);
  }
}

/** Nobody waits for a call that comes too late: it is canceled. */
async function outcomeOf<O>(submitted: Promise<Call<O>>, signal: AbortSignal): Promise<O> {
  try {
    return await abortable(
      signal,
      submitted.then(({ result }) => result),
    );
  } catch (error) {
    if (signal.aborted) void submitted.then((call) => call.cancel(signal.reason)).catch(() => {});
    throw error;
  }
}

/** Somebody waits for it, and for nothing else: so it holds the process. */
function pause(signal: AbortSignal, ms: number, clock: Clock): Promise<void> {
  return execute<void>(signal, (resolve) => {
    const timer = clock.setTimeout(resolve, ms, true);
    return () => clock.clearTimeout(timer);
  });
}
