/** A call as the memory engine holds it: its record, and where it is. */
import type { Deadline } from '../manager/deadlines.ts';
import type { HeapItem } from '../manager/heap.ts';
import type { ListNode } from '../manager/list.ts';
import type { Consumer } from './consumers.ts';
import type { Siblings } from './duplicates.ts';
import type { CallFilter, CallRecord, CallState, DuplicatePolicy, NewCall, Retention } from './engine.ts';
import type { Lane } from './lanes.ts';
import type { Run } from './ready-queue.ts';

/** How a lease has ended, for whoever says so twice. */
export type LeaseEnd = 'ack' | 'fail' | 'release';

const NO_LANES: readonly Lane[] = [];
const NO_NAMES: readonly string[] = Object.freeze([]);

export class StoredCall implements HeapItem {
  readonly id: string;
  readonly task: string;
  readonly version: number;
  readonly queue: string;
  readonly priority: number;
  readonly manager: string;
  readonly input: string;
  readonly context: string;
  readonly parentId: string | undefined;
  readonly delayMs: number;
  readonly laneNames: readonly string[];
  readonly key: string | undefined;
  readonly onDuplicate: DuplicatePolicy;
  readonly retention: Retention;
  readonly overrides: string | undefined;

  state: CallState = 'submitted';
  attempt = 0;
  readonly submittedAt: number;
  dueAt: number | undefined = undefined;
  queuedAt: number | undefined = undefined;
  startedAt: number | undefined = undefined;
  endedAt: number | undefined = undefined;
  consumer: string | undefined = undefined;
  output: string | undefined = undefined;
  error: string | undefined = undefined;
  step: string | undefined = undefined;
  heartbeatAt: number | undefined = undefined;
  progress: string | undefined = undefined;
  cancelRequested = false;

  /** Its place among all calls: that of its submission. */
  readonly order: number;
  older: StoredCall | undefined = undefined;
  newer: StoredCall | undefined = undefined;

  /** While it is scheduled: when it is due, by the clock. */
  at = 0;
  /** Among those that are scheduled, or those that have come back to a run. */
  heapIndex = -1;

  /** While it is queued. */
  run: Run | undefined = undefined;
  previous: StoredCall | undefined = undefined;
  next: StoredCall | undefined = undefined;

  /** Until it ends. */
  lanes: readonly Lane[] = NO_LANES;
  /** While it is active among those of its key, or held. */
  siblings: Siblings | undefined = undefined;
  sibling: ListNode<StoredCall> | undefined = undefined;

  /** While it is started: who has it, and by which token. */
  holder: Consumer | undefined = undefined;
  token: string | undefined = undefined;
  /** The number of its last delivery, or late start, of all the engine's, and when that was, by the clock. */
  delivery = 0;
  deliveredAt = 0;
  /** By which token its last lease was ended, and how. */
  endToken: string | undefined = undefined;
  endedBy: LeaseEnd | undefined = undefined;
  /** Whether its last lease wasn't ended by who had it. */
  isLost = false;
  /** Why it is to be canceled. */
  cancelError: string | undefined = undefined;

  /** Of its lease; when it has ended, of its being kept. */
  deadline: Deadline<StoredCall> | undefined = undefined;
  memos: Map<string, string> | undefined = undefined;
  log: string[] | undefined = undefined;

  constructor(call: NewCall, order: number, submittedAt: number) {
    this.id = call.id;
    this.task = call.task;
    this.version = call.version;
    this.queue = call.queue;
    this.priority = call.priority;
    this.manager = call.manager;
    this.input = call.input;
    this.context = call.context;
    this.parentId = call.parentId;
    this.delayMs = call.delayMs;
    this.laneNames = call.lanes.length === 0 ? NO_NAMES : Object.freeze([...call.lanes]);
    this.key = call.key;
    this.onDuplicate = call.onDuplicate;
    this.retention = { completedMs: call.retention.completedMs, failedMs: call.retention.failedMs };
    this.overrides = call.overrides;
    this.order = order;
    this.submittedAt = submittedAt;
  }
}

/** What is given out of a call. */
export function recordOf(call: StoredCall): CallRecord {
  return {
    id: call.id,
    task: call.task,
    version: call.version,
    queue: call.queue,
    priority: call.priority,
    manager: call.manager,
    input: call.input,
    context: call.context,
    parentId: call.parentId,
    delayMs: call.delayMs,
    lanes: call.laneNames,
    key: call.key,
    onDuplicate: call.onDuplicate,
    retention: call.retention,
    overrides: call.overrides,
    state: call.state,
    attempt: call.attempt,
    submittedAt: call.submittedAt,
    dueAt: call.dueAt,
    queuedAt: call.queuedAt,
    startedAt: call.startedAt,
    endedAt: call.endedAt,
    consumer: call.consumer,
    output: call.output,
    error: call.error,
    step: call.step,
    heartbeatAt: call.heartbeatAt,
    progress: call.progress,
    cancelRequested: call.cancelRequested,
  };
}

export function isMatch(call: CallRecord | StoredCall, filter: CallFilter): boolean {
  const { id, task, version, queue, state, key, parentId } = filter;
  return (
    (id === undefined || isOneOf(call.id, id)) &&
    (task === undefined || call.task === task) &&
    (version === undefined || call.version === version) &&
    (queue === undefined || call.queue === queue) &&
    (state === undefined || isOneOf(call.state, state)) &&
    (key === undefined || call.key === key) &&
    (parentId === undefined || call.parentId === parentId)
  );
}

function isOneOf<T extends string>(value: T, wanted: T | readonly T[]): boolean {
  return typeof wanted === 'string' ? value === wanted : wanted.includes(value);
}
