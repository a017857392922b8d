/**
 * The port for those who follow calls from outside, from the submission to each run: `errand/otel` is one. The core
 * knows none of them, and without one asks nothing of anybody.
 */
import type { NewCall } from '../../engines/index.ts';
import type { RunStatus } from '../../metrics/dispatcher-metrics.ts';
import type { RunInfo } from '../run.ts';
import type { TimingListener } from './call-metrics.ts';

/** What goes along with a call. */
export type Headers = Readonly<Record<string, string>>;

/** A submission that is followed. */
export interface Submission {
  /** What goes along from now on: all of it. */
  readonly headers: Headers;
  /** It is stored, or that has failed. Called once. */
  end(failure?: { readonly error: unknown }): void;
}

/** A call whose submission may be followed. */
export interface Submitting {
  readonly call: NewCall;
  readonly headers: Headers;
  /** Only a slow run of it is of interest. */
  readonly isForSlow: boolean;
}

/** How a run that is followed has ended. */
export interface RunEnd {
  readonly status: RunStatus;
  /** What it has failed with, or why it was canceled. */
  readonly error: unknown;
  /** How long it has taken, in ms. */
  readonly tookMs: number;
}

/** A run that is followed. */
export interface FollowedRun {
  /** Calls its function, in whatever context. */
  inContext<T>(fn: () => T): T;
  /** Called once, when it is known what became of the run. */
  end(end: RunEnd): void;
}

/** A run that may be followed. */
export interface Running {
  readonly info: RunInfo;
  readonly parentId: string | undefined;
  readonly headers: Headers;
  /** In ms since the epoch. */
  readonly startedAt: number;
  /** It is only of interest if it takes longer than so many ms; 0: it is. */
  readonly slowerThanMs: number;
}

/** Who follows calls. What it throws is reported, and breaks nothing. */
export interface Instrument {
  submitting(submitting: Submitting): Submission;
  running(running: Running): FollowedRun;
  /** A time was measured. */
  readonly timed: TimingListener;
}

/** The way in: `dispatcher[instrumentBy](instrument)` gives what takes it out again. */
export const instrumentBy: unique symbol = Symbol('instrumentBy');
