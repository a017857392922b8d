/**
 * The life of a call in memory, from its submission to when it is forgotten: every step that changes its state, with all
 * that goes with it. Who may take it, and what it may come from, the callers have seen to.
 */
import type { Clock } from '../go/clock.ts';
import { Deadline, Deadlines } from '../manager/deadlines.ts';
import { Alarms } from './alarms.ts';
import { CallStore } from './call-store.ts';
import { type Consumer, Consumers } from './consumers.ts';
import { Duplicates } from './duplicates.ts';
import type { CallState, LaneLimit, NewCall } from './engine.ts';
import { Lanes } from './lanes.ts';
import { ReadyQueue } from './ready-queue.ts';
import { type LeaseEnd, StoredCall } from './stored-call.ts';

/** What a call that gave way has as its error. */
function duplicateError(call: StoredCall, other: StoredCall): string {
  return JSON.stringify({
    name: 'DuplicateCallError',
    code: 'ERR_DUPLICATE_CALL',
    message: `call ${call.id} of ${call.task} gave way to ${other.id}, which has the same key`,
    otherId: other.id,
  });
}

export class CallLife {
  readonly store = new CallStore();
  readonly consumers = new Consumers();
  readonly lanes: Lanes;
  readonly ready: ReadyQueue;
  readonly duplicates = new Duplicates();
  readonly #clock: Clock;
  readonly #delays: Alarms<StoredCall>;
  /** Of leases, and of what has ended and is kept. */
  readonly #deadlines: Deadlines;
  readonly #onDeadline: (call: StoredCall) => void;
  #submitted = 0;
  #tokens = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.lanes = new Lanes(clock, (lane) => {
      this.ready.open(lane);
      this.consumers.wake();
    });
    this.ready = new ReadyQueue(this.lanes);
    this.#delays = new Alarms(clock, (call, now) => {
      this.#admit(call, now);
      this.store.tellAll();
    });
    this.#deadlines = new Deadlines(clock);
    this.#onDeadline = (call) => {
      if (call.state === 'started') this.lose(call, this.#clock.now());
      else this.store.remove(call);
      this.store.tellAll();
    };
  }

  submit(submitted: NewCall, now: number): StoredCall {
    const call = new StoredCall(submitted, ++this.#submitted, this.#shown(now));
    this.store.add(call);
    this.lanes.join(call);
    this.queueAfter(call, call.delayMs, now);
    return call;
  }

  /** Has a call that is nowhere wait for its time, if it isn't come, and then be queued. */
  queueAfter(call: StoredCall, delayMs: number, now: number): void {
    if (!(delayMs > 0)) {
      this.#admit(call, now);
      return;
    }
    this.#delays.set(call, now + delayMs);
    call.dueAt = this.#shown(call.at);
    this.store.move(call, 'scheduled');
  }

  /** Has a call that is scheduled or queued be due anew. */
  schedule(call: StoredCall, delayMs: number, now: number): void {
    if (call.state === 'queued' && !(delayMs > 0)) return;
    this.#vacate(call, now);
    this.queueAfter(call, delayMs, now);
  }

  deliver(call: StoredCall, consumer: Consumer, leaseMs: number, now: number): void {
    this.ready.remove(call);
    this.lanes.spend(call, now);
    call.attempt++;
    call.startedAt = this.#shown(now);
    call.consumer = consumer.name;
    call.step = undefined;
    call.heartbeatAt = undefined;
    call.progress = undefined;
    call.holder = consumer;
    call.token = (++this.#tokens).toString(36);
    consumer.calls.add(call);
    this.#setDeadline(call, leaseMs, now);
    this.store.move(call, 'started');
  }

  /** A call begins later than it was delivered. False when its lanes don't let it. */
  start(call: StoredCall, now: number): boolean {
    if (!this.lanes.spendAgain(call, now)) return false;
    call.startedAt = this.#shown(now);
    this.store.noteUpdate(call);
    return true;
  }

  renew(call: StoredCall, leaseMs: number, now: number): void {
    this.#deadlines.lift(call.deadline!);
    this.#setDeadline(call, leaseMs, now);
  }

  /** Its holder says that it is done with a call. With `asIfNever`, it has never begun to run. */
  endLease(call: StoredCall, how: LeaseEnd, asIfNever: boolean, now: number): void {
    call.endToken = call.token;
    call.endedBy = how;
    if (!asIfNever) call.isLost = false;
    this.#void(call, asIfNever, now);
  }

  /** The lease of a call is void, and nobody has said what has become of the run. */
  lose(call: StoredCall, now: number): void {
    this.#void(call, false, now);
    call.isLost = true;
    this.goOn(call, 0, now);
  }

  /** A call whose lease has ended is to be run again, unless somebody wants it canceled. */
  goOn(call: StoredCall, delayMs: number, now: number): void {
    if (call.cancelRequested) {
      call.error = call.cancelError;
      this.end(call, 'canceled', now);
    } else {
      this.queueAfter(call, delayMs, now);
    }
  }

  end(call: StoredCall, state: CallState, now: number): void {
    this.#vacate(call, now);
    call.endedAt = this.#shown(now);
    this.store.move(call, state);
    this.lanes.part(call, now);
    const next = this.duplicates.leave(call);
    this.#keep(call, now);
    if (next !== undefined) this.#queue(next, now);
  }

  /** A dead letter comes to life. */
  revive(call: StoredCall, resetAttempts: boolean, now: number): void {
    if (resetAttempts) call.attempt = 0;
    call.endedAt = undefined;
    call.cancelRequested = false;
    call.cancelError = undefined;
    this.lanes.join(call);
    if (this.duplicates.readmit(call)) this.#queue(call, now);
    else this.store.move(call, 'held');
  }

  /** Forgets a call that has ended. */
  forget(call: StoredCall): void {
    if (call.deadline !== undefined) this.#deadlines.lift(call.deadline);
    this.store.remove(call);
  }

  /** Says that a call is alive. */
  beat(call: StoredCall, now: number): void {
    call.heartbeatAt = this.#shown(now);
  }

  limit(lane: string, limit: LaneLimit | undefined, now: number): void {
    this.lanes.limit(lane, limit, now);
  }

  close(): void {
    this.#delays.close();
    this.#deadlines.close();
    this.lanes.close();
    this.consumers.clear();
    this.duplicates.clear();
    this.ready.clear();
    this.store.clear();
  }

  /** Its time has come: it is queued, unless others of its key are in the way. */
  #admit(call: StoredCall, now: number): void {
    call.dueAt = undefined;
    // One that has been queued before still has its place.
    const verdict = call.siblings === undefined ? this.duplicates.admit(call) : undefined;
    if (verdict?.then === 'discarded') {
      call.error = duplicateError(call, verdict.for);
      this.end(call, 'discarded', now);
    } else if (verdict?.then === 'held') {
      this.store.move(call, 'held');
      const { instead } = verdict;
      if (instead === undefined) return;
      instead.error = duplicateError(instead, call);
      this.end(instead, 'discarded', now);
    } else {
      this.#queue(call, now);
    }
  }

  #queue(call: StoredCall, now: number): void {
    call.queuedAt = this.#shown(now);
    if (this.ready.add(call)) this.consumers.wake();
    this.store.move(call, 'queued');
  }

  /** Takes a call out of where it waits, or from who has it. */
  #vacate(call: StoredCall, now: number): void {
    if (call.state === 'scheduled') this.#delays.lift(call);
    else if (call.state === 'queued') this.ready.remove(call);
    else if (call.holder !== undefined) this.#void(call, false, now);
    call.dueAt = undefined;
  }

  #void(call: StoredCall, asIfNever: boolean, now: number): void {
    call.holder!.calls.delete(call);
    call.holder = undefined;
    call.token = undefined;
    this.#deadlines.lift(call.deadline!);
    this.lanes.leave(call, asIfNever, now);
  }

  #keep(call: StoredCall, now: number): void {
    if (call.state === 'deadLettered') return;
    call.memos = undefined;
    const { completedMs, failedMs } = call.retention;
    const ms = call.state === 'completed' ? completedMs : failedMs;
    if (ms > 0) this.#setDeadline(call, ms, now);
    else this.store.remove(call);
  }

  #setDeadline(call: StoredCall, ms: number, now: number): void {
    call.deadline ??= new Deadline(call, this.#onDeadline);
    if (ms < Infinity) this.#deadlines.set(call.deadline, ms, now);
  }

  #shown(at: number): number {
    return this.#clock.timeOrigin + at;
  }
}
