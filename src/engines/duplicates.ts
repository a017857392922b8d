/**
 * Calls of the same task and key: which may be queued, which are held for later, and which give way. A call is active
 * from when it is queued until it ends, whatever becomes of it in between.
 *
 * Invariant: where calls are held, one is active.
 */
import { List } from '../manager/list.ts';
import type { StoredCall } from './stored-call.ts';

/** The calls of one key. Those of most keys are one. */
export interface Siblings {
  readonly key: string;
  readonly byKey: Map<string, Siblings>;
  readonly active: List<StoredCall>;
  /** The longest held first. */
  held: List<StoredCall> | undefined;
}

/** What becomes of a call that would be queued, and which other one gives way for it, or it for which. */
export type Verdict =
  | { readonly then: 'queued' }
  | { readonly then: 'held'; readonly instead: StoredCall | undefined }
  | { readonly then: 'discarded'; readonly for: StoredCall };

const QUEUED: Verdict = { then: 'queued' };
const HELD: Verdict = { then: 'held', instead: undefined };

export class Duplicates {
  readonly #tasks = new Map<string, Map<string, Siblings>>();

  /** Decides on a call that isn't known yet, and takes its place for it. It is for the caller to discard who is named. */
  admit(call: StoredCall): Verdict {
    if (call.key === undefined) return QUEUED;
    const siblings = this.#siblings(call.task, call.key);
    const verdict = decide(call, siblings);
    if (verdict.then === 'queued') activate(call, siblings);
    else if (verdict.then === 'held') hold(call, siblings);
    return verdict;
  }

  /** A call that had ended comes again: it never gives way, nor does another for it. Whether it may be queued. */
  readmit(call: StoredCall): boolean {
    if (call.key === undefined) return true;
    const siblings = this.#siblings(call.task, call.key);
    const mayRun = call.onDuplicate === 'parallel' || siblings.active.size === 0;
    if (mayRun) activate(call, siblings);
    else hold(call, siblings);
    return mayRun;
  }

  /** The call has ended. Returns the one that has been held for it, and is active now. */
  leave(call: StoredCall): StoredCall | undefined {
    const { siblings } = call;
    if (siblings === undefined) return undefined;
    const { active, held, byKey, key } = siblings;
    call.siblings = undefined;
    call.sibling!.remove();
    call.sibling = undefined;
    if (active.size > 0) return undefined;
    const next = held?.first;
    if (next !== undefined) {
      next.remove();
      activate(next.value, siblings);
      return next.value;
    }
    byKey.delete(key);
    if (byKey.size === 0) this.#tasks.delete(call.task);
    return undefined;
  }

  /** For tests: how many keys are remembered. */
  get size(): number {
    let size = 0;
    for (const byKey of this.#tasks.values()) size += byKey.size;
    return size;
  }

  clear(): void {
    this.#tasks.clear();
  }

  #siblings(task: string, key: string): Siblings {
    let byKey = this.#tasks.get(task);
    if (byKey === undefined) {
      byKey = new Map();
      this.#tasks.set(task, byKey);
    }
    let siblings = byKey.get(key);
    if (siblings === undefined) {
      siblings = { key, byKey, active: new List(), held: undefined };
      byKey.set(key, siblings);
    }
    return siblings;
  }
}

function decide(call: StoredCall, { active, held }: Siblings): Verdict {
  const other = active.first?.value;
  if (other === undefined || call.onDuplicate === 'parallel') return QUEUED;
  if (call.onDuplicate === 'discard') return { then: 'discarded', for: other };
  const last = held?.last?.value;
  if (call.onDuplicate === 'queueOne' && last?.onDuplicate === 'queueOne') return { then: 'held', instead: last };
  return HELD;
}

function activate(call: StoredCall, siblings: Siblings): void {
  call.siblings = siblings;
  call.sibling = siblings.active.push(call);
}

function hold(call: StoredCall, siblings: Siblings): void {
  siblings.held ??= new List();
  call.siblings = siblings;
  call.sibling = siblings.held.push(call);
}
