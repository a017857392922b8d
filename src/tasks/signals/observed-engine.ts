/** The engine as a dispatcher uses it: it counts what the engine is asked for, and lets those follow who follow calls. */
import { CallEndedError, StaleLeaseError, UnknownCallError } from '../../engines/errors.ts';
import type { Engine, NewCall } from '../../engines/index.ts';
import { isA } from '../../go/errors.ts';
import type { Submission } from './instrument.ts';
import type { Signals } from './signals.ts';

type Operation = Exclude<keyof Engine, 'name' | 'capabilities' | 'clock' | 'watch'>;

/** As a dictionary, so that the compiler sees to it that none is missing. */
const OPERATIONS: Readonly<Record<Operation, true>> = {
  submit: true,
  submitMany: true,
  begin: true,
  end: true,
  fetch: true,
  start: true,
  renew: true,
  ack: true,
  fail: true,
  release: true,
  update: true,
  cancel: true,
  schedule: true,
  get: true,
  logs: true,
  scan: true,
  count: true,
  resubmit: true,
  remove: true,
  limit: true,
  read: true,
  write: true,
  consumers: true,
  lock: true,
  broadcast: true,
  selfCheck: true,
  close: true,
};

/** What comes of an operation is the engine's own promise: nothing is later than it was. */
export function observedEngine(engine: Engine, signals: Signals): Engine {
  const { metrics } = signals;
  const observed: Record<string, unknown> = {
    name: engine.name,
    capabilities: engine.capabilities,
    clock: engine.clock,
    watch: (...args: Parameters<Engine['watch']>) => engine.watch(...args),
  };
  for (const operation of Object.keys(OPERATIONS) as Operation[]) {
    const figures = metrics.operation(operation);
    const failed = (error: unknown): void => {
      if (isRefusal(error)) figures.refused++;
      else figures.errors++;
    };
    // None takes more than three.
    observed[operation] = (a: unknown, b: unknown, c: unknown): Promise<unknown> => {
      figures.calls++;
      const answer = (engine[operation] as (...args: unknown[]) => Promise<unknown>)(a, b, c);
      answer.then(undefined, failed);
      return answer;
    };
  }
  const { submit, submitMany, cancel } = observed as unknown as Engine;
  const counts = ({ task, queue }: NewCall): void => metrics.submitted(task, queue);
  return {
    ...(observed as unknown as Engine),
    submit: (call) => {
      const followed = signals.isFollowed ? signals.submitting(call) : undefined;
      const stored = submit(followed?.call ?? call);
      stored.then(() => counts(call), noop);
      if (followed !== undefined) follow(followed.submission, stored, signals);
      return stored;
    },
    submitMany: (calls) => {
      const followed = signals.isFollowed ? calls.map((call) => signals.submitting(call)) : undefined;
      const stored = submitMany(followed?.map((each, index) => each?.call ?? calls[index]!) ?? calls);
      stored.then(() => calls.forEach(counts), noop);
      for (const each of followed ?? []) if (each !== undefined) follow(each.submission, stored, signals);
      return stored;
    },
    cancel: (id, error) => {
      const done = cancel(id, error);
      done.then(() => metrics.cancellationRequested(), noop);
      return done;
    },
  };
}

/** An answer, and no failure of the engine's. */
function isRefusal(error: unknown): boolean {
  return isA(error, StaleLeaseError) || isA(error, CallEndedError) || isA(error, UnknownCallError);
}

function follow(submission: Submission, stored: Promise<unknown>, signals: Signals): void {
  stored.then(
    () => signals.guarded(() => submission.end()),
    (error: unknown) => signals.guarded(() => submission.end({ error })),
  );
}

function noop(): void {}
