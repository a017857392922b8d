/**
 * The port under registered tasks: where calls wait, and who has them. The memory engine is the first; durable and
 * distributed ones obey the same suite (`errand/testing`: `engineSuite`).
 *
 * What an engine knows of a call is flat and serialisable; payloads are JSON texts that it doesn't read. It does what
 * has to be done in one step with storing and claiming: order, delay, leases, duplicates by key, limits by lane. All
 * that needs the definition of a task (schemas, retries, timeouts, permissions) is the dispatcher's.
 *
 * Rules for all engines:
 * - Each method does all of its work or none. It rejects with one of the errors named there, or with any other error
 *   when the engine itself fails: then the dispatcher tries again, so that doing the same twice must be harmless.
 * - What ended a lease can be said again, as long as the call is kept: it does nothing then.
 * - A delivery is a lease: until it is acknowledged, failed, released, or has expired, nobody else gets the call.
 *   Whoever comes with another token or an older epoch than the one that holds it gets a StaleLeaseError.
 * - Durations are in ms, times in ms since the epoch, by the engine's clock.
 */
import type { Clock } from '../go/clock.ts';

/**
 * Where a call stands.
 *
 * - `submitted`: stored; it goes on from there in the same step, so it is only seen in events.
 * - `scheduled`: waits for its time: a delay, or the pause before another attempt.
 * - `held`: waits for another call of the same key.
 * - `queued`: may be fetched.
 * - `started`: somebody has a lease of it.
 * - `completed`, `failed`, `timedOut`, `canceled`, `discarded` (a duplicate), `stalled`: ended.
 * - `deadLettered`: ended, and kept until somebody resubmits or removes it.
 */
export type CallState =
  | 'submitted'
  | 'scheduled'
  | 'held'
  | 'queued'
  | 'started'
  | 'completed'
  | 'failed'
  | 'timedOut'
  | 'canceled'
  | 'discarded'
  | 'stalled'
  | 'deadLettered';

/**
 * What happens to a call when there is another one of the same task and key that is active: that has been queued, and
 * hasn't ended since, whatever became of it in between. Decided when it would be queued: of a delayed call, when it is
 * due.
 *
 * - `parallel`: nothing.
 * - `serial`: it is held; when the other one has ended, however, the one held longest is queued.
 * - `discard`: it is discarded; its error names the other one.
 * - `queueOne`: it is held, and one that was held before is discarded for it; the error of that names this one.
 */
export type DuplicatePolicy = 'parallel' | 'serial' | 'discard' | 'queueOne';

/** How long ended calls are kept, by how they ended. 0: not at all. `Infinity`: until they are removed. */
export interface Retention {
  /** Of those that completed. */
  readonly completedMs: number;
  /** Of all the others but dead letters. */
  readonly failedMs: number;
}

/** A call as it is submitted. */
export interface NewCall {
  /** Unique for ever: a second submission with it is the first one again. */
  readonly id: string;
  /** The task's name. */
  readonly task: string;
  /** Its version. */
  readonly version: number;
  /** Where it waits. */
  readonly queue: string;
  /** Higher goes first. */
  readonly priority: number;
  /** The TaskManager that it runs on, by name. */
  readonly manager: string;
  /** JSON. */
  readonly input: string;
  /** JSON: who submitted it, and what goes along. */
  readonly context: string;
  /** The call that has submitted it, if one has. */
  readonly parentId: string | undefined;
  /** Not before so long from now. */
  readonly delayMs: number;
  /** What it counts against: lanes with a limit hold it back. */
  readonly lanes: readonly string[];
  /** Its key among its duplicates; undefined: it has none. */
  readonly key: string | undefined;
  /** What becomes of it among them. */
  readonly onDuplicate: DuplicatePolicy;
  /** How long it is kept when it has ended. */
  readonly retention: Retention;
  /** JSON: what this call has otherwise than its definition says. */
  readonly overrides: string | undefined;
}

/** A call as it is stored: a flat record, which never changes (what is given out is a copy). */
export interface CallRecord extends NewCall {
  /** Where it stands. */
  readonly state: CallState;
  /** Runs begun, those that were handed back not counted. */
  readonly attempt: number;
  /** When it was stored. */
  readonly submittedAt: number;
  /** While it is scheduled: when it is due. */
  readonly dueAt: number | undefined;
  /** When it was queued last: since then it could be fetched, but for its limits. */
  readonly queuedAt: number | undefined;
  /** When its last run began. */
  readonly startedAt: number | undefined;
  /** When it ended. */
  readonly endedAt: number | undefined;
  /** The consumer that has it, or had it last. */
  readonly consumer: string | undefined;
  /** JSON: what it completed with. */
  readonly output: string | undefined;
  /** JSON: what its last failed attempt failed with, or why it was canceled or discarded. */
  readonly error: string | undefined;
  /** What it said last of where it is, and when. */
  readonly step: string | undefined;
  /** When it said last that it is alive. */
  readonly heartbeatAt: number | undefined;
  /** JSON. */
  readonly progress: string | undefined;
  /** Somebody wants it canceled while it is started. */
  readonly cancelRequested: boolean;
}

/** What proves that one has a call. */
export interface Lease {
  /** The call's. */
  readonly id: string;
  /** Of this very delivery. */
  readonly token: string;
  /** Of the consumer, when it was delivered. */
  readonly epoch: number;
}

/** A call that is to be run now. */
export interface Delivery {
  /** The call, as it was delivered. */
  readonly record: CallRecord;
  /** To be shown with every word about it. */
  readonly lease: Lease;
  /** What earlier attempts have kept by {@link Engine.update}. */
  readonly memos: Readonly<Record<string, string>>;
  /** Whether the one who had it before has let its lease expire: it has crashed, or lost the engine. */
  readonly wasLost: boolean;
}

/** What {@link Engine.fetch} may deliver. */
export interface FetchRequest {
  /** Who asks. */
  readonly consumer: string;
  /** Of its present life, as `begin` has given it. */
  readonly epoch: number;
  /** The queues to take from, the first that has a call first, and how many from each at most. */
  readonly queues: readonly { readonly name: string; readonly max: number }[];
  /** How many calls in all. */
  readonly max: number;
  /** How many calls there is room for on each TaskManager; for one that isn't named there is none. */
  readonly room: Readonly<Record<string, number>>;
  /** For how long they are its own. */
  readonly leaseMs: number;
}

/** How a run failed, and what is to become of the call. */
export interface Failure {
  /** JSON. */
  readonly error: string;
  /** What it ends as; or, kept as a dead letter; or tried again after a pause. */
  readonly then: 'failed' | 'timedOut' | 'canceled' | 'stalled' | 'deadLettered' | { readonly retryAfterMs: number };
}

/** What is said while a call runs. What isn't given stays. */
export interface Update {
  /** Where it is. */
  readonly step?: string | undefined;
  /** JSON. */
  readonly progress?: string | undefined;
  /** Lines to keep: the last {@link MOST_LOG_LINES} of a call. */
  readonly log?: readonly string[] | undefined;
  /** Something for the attempts to come. JSON. */
  readonly memo?: { readonly key: string; readonly value: string } | undefined;
}

/** How many log lines of a call an engine keeps. */
export const MOST_LOG_LINES = 1_000;

/**
 * A limit for all calls of a lane, wherever they run. Spent when a call is delivered, or when it begins if that is later;
 * never when it is submitted.
 */
export interface LaneLimit {
  /** At most so many deliveries in any window of `intervalMs`. */
  readonly rate?: { readonly limit: number; readonly intervalMs: number } | undefined;
  /** At most so many that run at once. */
  readonly concurrency?: number | undefined;
}

/** Which calls: those that match all that is given. */
export interface CallFilter {
  /** Of these ids. */
  readonly id?: string | readonly string[] | undefined;
  /** Of a task, by its name. */
  readonly task?: string | undefined;
  /** Of this version of it. */
  readonly version?: number | undefined;
  /** In this queue. */
  readonly queue?: string | undefined;
  /** In one of these states. */
  readonly state?: CallState | readonly CallState[] | undefined;
  /** Of this key among duplicates. */
  readonly key?: string | undefined;
  /** Submitted by this call. */
  readonly parentId?: string | undefined;
}

/** One page of a scan. */
export interface Page {
  /** Default 100. */
  readonly limit?: number | undefined;
  /** The id of the last call of the page before. */
  readonly after?: string | undefined;
}

/** Something a watcher of a call is told. */
export type CallEvent =
  /** It has moved. */
  | { readonly type: 'state'; readonly record: CallRecord }
  /** It has given a sign of life, or somebody wants it canceled. */
  | { readonly type: 'update'; readonly record: CallRecord }
  /** It has logged something. */
  | { readonly type: 'log'; readonly record: CallRecord; readonly lines: readonly string[] }
  /** The engine is closed: nothing more will be told. */
  | { readonly type: 'closed' };

/** What a consumer is told. None of it may be relied on to come: it only makes things quicker. */
export interface ConsumerListener {
  /** There may be something to fetch. */
  onWake(): void;
  /** A call that this consumer has is to be canceled. */
  onCancel(id: string, error: string): void;
  /** What somebody has broadcast. */
  onMessage(message: string): void;
}

/** A lock that is held until it is released or not renewed in time. */
export interface EngineLock {
  /** Grows with each holder. */
  readonly token: number;
  /** Holds it for `leaseMs` from now. False when it has been lost. */
  renew(leaseMs: number): Promise<boolean>;
  /** Lets go of it. Harmless when it has been lost. */
  release(): Promise<void>;
}

/** What an engine can do: for those who choose one. */
export interface Capabilities {
  /** Calls outlive the process. */
  readonly durable: boolean;
  /** Several processes can share them. */
  readonly distributed: boolean;
}

/** The port. See the top of the file for what holds for all of it. */
export interface Engine {
  /** What it is called, for people. */
  readonly name: string;
  /** What it can do. */
  readonly capabilities: Capabilities;
  /** What all of its times go by, and those of who uses it. */
  readonly clock: Clock;

  /** Stores a call. With an id that is taken, it changes nothing and gives the record of the first one. */
  submit(call: NewCall): Promise<CallRecord>;
  /** The same for many in one step; the records are as of its end. */
  submitMany(calls: readonly NewCall[]): Promise<CallRecord[]>;

  /**
   * Begins a consumer's life, or begins it anew: the epoch is greater than that of any life before, whose leases are
   * void from here on, and whose calls wait to be fetched again.
   */
  begin(consumer: string, listener: ConsumerListener): Promise<number>;
  /** Ends a consumer's life; what it still has waits to be fetched again. Harmless with an old epoch. */
  end(consumer: string, epoch: number): Promise<void>;
  /** What can be run now, the most urgent first; nothing if there is nothing. @throws StaleLeaseError with an old epoch */
  fetch(request: FetchRequest): Promise<Delivery[]>;
  /**
   * A call begins only now, as it has had to wait for a worker since its delivery: from now on, and not from then, it
   * counts for the rates of its lanes. False when they don't let it begin now: then it is to be released.
   * @throws StaleLeaseError
   */
  start(lease: Lease): Promise<boolean>;
  /** Holds leases for `leaseMs` from now. Resolves to those that couldn't be, because they are stale. */
  renew(leases: readonly Lease[], leaseMs: number): Promise<Lease[]>;
  /** The call has completed with `output`, which is JSON. @throws StaleLeaseError */
  ack(lease: Lease, output: string): Promise<void>;
  /** A run has failed. A call that is to be canceled isn't tried again, but ends as canceled. @throws StaleLeaseError */
  fail(lease: Lease, failure: Failure): Promise<void>;
  /**
   * Hands a call back to be fetched again after `delayMs`, as if it had not been delivered; one that is to be canceled
   * ends as canceled. With `hasBegun` it has spent
   * its part of the rates all the same: what they are there for doesn't ask why a run ended. @throws StaleLeaseError
   */
  release(lease: Lease, delayMs?: number, hasBegun?: boolean): Promise<void>;
  /** Says something of a call that runs; unless it is only log lines or a memo, that is a heartbeat. @throws StaleLeaseError */
  update(lease: Lease, update: Update): Promise<void>;

  /**
   * Cancels a call for the reason given as JSON: at once if nobody has it, else its consumer is told to.
   * @throws CallEndedError, UnknownCallError
   */
  cancel(id: string, error: string): Promise<'canceled' | 'requested'>;
  /**
   * Has a call that waits, for its time or in its queue, be due after `delayMs`.
   * @throws CallEndedError when it is held, has begun or has ended, UnknownCallError
   */
  schedule(id: string, delayMs: number): Promise<CallRecord>;

  /** Undefined when there is none, or none any more. */
  get(id: string): Promise<CallRecord | undefined>;
  /** The log lines that are kept of a call. */
  logs(id: string): Promise<readonly string[]>;
  /**
   * Tells of one call what happens to it from now on, in order; it need not be submitted yet. Without an id, of all
   * calls. What the listener throws is lost. Returns what ends that.
   */
  watch(id: string | undefined, listener: (event: CallEvent) => void): () => void;
  /** Calls by filter, the newest first. @throws UnknownCallError when the one to go on after isn't kept any more */
  scan(filter: CallFilter, page?: Page): Promise<CallRecord[]>;
  /** How many calls there are in each state. */
  count(filter: CallFilter): Promise<Readonly<Record<CallState, number>>>;
  /** Has dead letters fetched again: those that match, of any state but `deadLettered` none. Resolves to their ids. */
  resubmit(filter: CallFilter, options: { readonly resetAttempts: boolean }): Promise<string[]>;
  /** Forgets calls that have ended. Resolves to their ids. */
  remove(filter: CallFilter): Promise<string[]>;

  /**
   * Sets what all lanes of a name are limited to (`name`, and `name\n...` each for itself), live; undefined: nothing.
   * Calls that run already count as running; what was delivered when there was no rate doesn't count for one.
   * @throws RangeError
   */
  limit(lane: string, limit: LaneLimit | undefined): Promise<void>;
  /** What was written last under a key; undefined if nothing is. */
  read(key: string): Promise<string | undefined>;
  /**
   * Writes under a key, for all that share the engine, if what is there is still `expected`; of undefined: nothing. True
   * when it is there afterwards: it has been written, or was there already.
   */
  write(key: string, value: string | undefined, expected: string | undefined): Promise<boolean>;
  /** The names of the consumers that are alive, as far as is known. */
  consumers(): Promise<readonly string[]>;
  /** Takes a lock if it is free; undefined if it isn't. */
  lock(name: string, owner: string, leaseMs: number): Promise<EngineLock | undefined>;
  /** Tells every consumer, once. */
  broadcast(message: string): Promise<void>;
  /** Sends something through the engine and back. @throws what shows that it isn't well */
  selfCheck(): Promise<void>;
  /** Frees what the engine holds. After that every method rejects. */
  close(): Promise<void>;
}
