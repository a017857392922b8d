/** What is known of a call, to be looked at. */
import type { CallRecord, CallState } from '../engines/index.ts';
import { errorFromJson } from './error-json.ts';
import { decodePayload } from './payload.ts';

/** A call as it is at one moment: flat, and a copy. Times are in ms since the epoch. */
export interface CallInfo {
  /** Unique for ever. */
  readonly id: string;
  /** The task's name. */
  readonly task: string;
  /** The version it was submitted with. */
  readonly version: number;
  /** Where it waits, or waited. */
  readonly queue: string;
  /** Higher goes first. */
  readonly priority: number;
  /** Where it stands. */
  readonly state: CallState;
  /** Runs begun. */
  readonly attempt: number;
  /** Its key among duplicates. */
  readonly key: string | undefined;
  /** The call that has submitted it, if one has. */
  readonly parentId: string | undefined;
  /** When it was submitted. */
  readonly submittedAt: number;
  /** While it is scheduled: when it is due. */
  readonly dueAt: number | undefined;
  /** When its last run began. */
  readonly startedAt: number | undefined;
  /** When it ended. */
  readonly endedAt: number | undefined;
  /** The dispatcher that runs it, or ran it last. */
  readonly consumer: string | undefined;
  /** What it said last of where it is. */
  readonly step: string | undefined;
  /** When it said last that it is alive. */
  readonly heartbeatAt: number | undefined;
  /** Where it was last, for people: `last at step 3/9 at 14:05:31`. */
  readonly where: string | undefined;
  /** How far it said it is. */
  readonly progress: unknown;
  /** What it was submitted with. */
  readonly input: unknown;
  /** What it completed with. */
  readonly output: unknown;
  /** What its last failed attempt failed with, or why it was canceled or discarded. */
  readonly error: unknown;
}

/** @internal */
export function describeCall(record: CallRecord): CallInfo {
  const { id, task, version, queue, priority, state, attempt, key, parentId, consumer, step, heartbeatAt } = record;
  const { submittedAt, dueAt, startedAt, endedAt, progress, input, output, error } = record;
  return {
    id,
    task,
    version,
    queue,
    priority,
    state,
    attempt,
    key,
    parentId,
    submittedAt,
    dueAt,
    startedAt,
    endedAt,
    consumer,
    step,
    heartbeatAt,
    where: whereOf(step, heartbeatAt),
    progress: decode(progress),
    input: decode(input),
    output: decode(output),
    error: error === undefined ? undefined : errorFromJson(error),
  };
}

/** After Jobbers: the text to look at when a call seems stuck. */
function whereOf(step: string | undefined, at: number | undefined): string | undefined {
  if (at === undefined) return undefined;
  const time = new Date(at).toTimeString().slice(0, 8);
  return step === undefined ? `last seen at ${time}` : `last at step ${step} at ${time}`;
}

/** What isn't JSON was stored by somebody else: it is shown as it is. */
function decode(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return decodePayload(text);
  } catch {
    return text;
  }
}
