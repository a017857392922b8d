/** What becomes of a call when a run of it is over: what the engine is told, by the rules of the definition. */
import type { Engine, Failure } from '../engines/index.ts';
import { isA } from '../go/errors.ts';
import { ShutdownError } from '../manager/errors.ts';
import { pauseBefore, worthRetrying } from '../manager/retry.ts';
import { COMPLETED, FAILED, type State, TIMED_OUT } from '../manager/task.ts';
import type { RetryPolicy } from '../manager/types.ts';
import type { RunStatus } from '../metrics/dispatcher-metrics.ts';
import { errorToJson } from './error-json.ts';
import {
  ForbiddenError,
  InvalidInputError,
  InvalidOutputError,
  NotRegisteredError,
  SkipTask,
  UnreadableError,
} from './errors.ts';
import { encodePayload } from './payload.ts';
import type { Run } from './run.ts';
import { validate } from './validate.ts';

/** What a run came to. */
export type Ending = 'completed' | 'failed' | 'retried' | 'canceled' | 'requeued' | 'lost';

/** How the dispatcher, and not the function, has ended a run. */
export interface Verdict {
  readonly as: 'canceled' | 'stalled' | 'requeued' | 'lost';
  readonly error: unknown;
}

/** What its manager says of it. */
export interface Outcome {
  readonly state: State;
  readonly value: unknown;
}

/** A manager that had no place for it, or let it wait too long, is left alone for so long. */
const HAND_BACK_MS = 1_000;
/** No retry: one attempt. */
const ONCE: RetryPolicy = { attempts: 1 };

/** Tells the engine what has become of a run whose function has returned, or was given up, or never began. */
export async function conclude(run: Run, outcome: Outcome, verdict: Verdict | undefined): Promise<Ending> {
  switch (verdict?.as) {
    case 'lost':
      return 'lost';
    case 'canceled':
      return fail(run, 'canceled', verdict.error, 'canceled');
    case 'requeued':
      return handBack(run, 0);
    case 'stalled':
      return decide(run, verdict.error, 'stalled');
  }
  const { state, value } = outcome;
  if (state === COMPLETED) return complete(run, value);
  const { stopping } = run.host;
  if (stopping.aborted && value === stopping.reason) {
    // It has ended itself, as it was told that the dispatcher is stopping.
    const { onShutdown } = run.definition;
    if (onShutdown !== 'stop') return handBack(run, 0);
    return fail(run, 'canceled', value, 'canceled');
  }
  // Its manager was ended under it, or had no place for it: the call isn't to blame.
  if (state !== FAILED && isA(value, ShutdownError)) return handBack(run, 0);
  if (!run.hasBegun) return handBack(run, HAND_BACK_MS);
  return decide(run, value, state === TIMED_OUT ? 'timedOut' : 'failed');
}

async function complete(run: Run, value: unknown): Promise<Ending> {
  const { definition, host, info } = run;
  const { outputSchema } = definition;
  let given: unknown;
  let output: string;
  try {
    given = outputSchema === undefined ? value : await validate(outputSchema, value, 'output');
    output = encodePayload(given, 'output', host.maxPayloadBytes);
  } catch (error) {
    return decide(run, error, 'failed');
  }
  const { afterRun } = host.hooks;
  if (afterRun !== undefined) await callHook(run, 'afterRun', () => afterRun(info, given));
  return tell(run, 'completed', 'completed', (engine) => engine.ack(run.lease, output));
}

/** Another attempt, or the end: as what it ends if it isn't to be a dead letter. */
async function decide(run: Run, error: unknown, end: 'failed' | 'timedOut' | 'stalled'): Promise<Ending> {
  const { definition, record, host, info, attempts } = run;
  const { onError } = host.hooks;
  if (onError !== undefined) await callHook(run, 'onError', () => onError(info, error));
  if (isFinal(error)) {
    // What a flow fails with is its node's to say.
    const isSkipped = isA(error, SkipTask) && definition.flow === undefined;
    const isDead = definition.deadLetter || isSkipped || isA(error, UnreadableError);
    return fail(run, 'failed', error, isDead ? 'deadLettered' : 'failed');
  }
  const policy = definition.retry ?? ONCE;
  const mayRetry = record.attempt < attempts && (end !== 'stalled' || definition.onStall === 'retry');
  if (mayRetry && worthRetrying(policy, error, record.attempt, host)) {
    const retryAfterMs = pauseBefore(policy, record.attempt, error, host);
    return fail(run, 'retried', error, { retryAfterMs });
  }
  return fail(run, 'failed', error, definition.deadLetter ? 'deadLettered' : end);
}

/** Whether another attempt would come to the same. */
function isFinal(error: unknown): boolean {
  return (
    isA(error, SkipTask) ||
    isA(error, InvalidInputError) ||
    isA(error, InvalidOutputError) ||
    isA(error, ForbiddenError) ||
    isA(error, NotRegisteredError)
  );
}

function fail(run: Run, ending: Ending, error: unknown, then: Failure['then']): Promise<Ending> {
  run.failure = error;
  const failure: Failure = { error: errorToJson(error), then };
  return tell(run, ending, typeof then === 'string' ? then : 'retried', (engine) => engine.fail(run.lease, failure));
}

function handBack(run: Run, delayMs: number): Promise<Ending> {
  return tell(run, 'requeued', 'requeued', (engine) => engine.release(run.lease, delayMs, run.isSpent));
}

async function tell(
  run: Run,
  ending: Ending,
  status: RunStatus,
  what: (engine: Engine) => Promise<void>,
): Promise<Ending> {
  const isTold = await run.host.end(run, async (engine) => {
    await what(engine);
    run.concluded(status);
  });
  return isTold ? ending : 'lost';
}

async function callHook({ host }: Run, name: string, call: () => unknown): Promise<void> {
  try {
    await call();
  } catch (error) {
    host.report(error, `${name} threw`);
  }
}
