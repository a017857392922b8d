/**
 * Calls that may be fetched: by priority, then by submission, from any of several queues and for any of several
 * managers, and past those whose lanes are closed.
 *
 * Each queue has a tree for each manager: a branch for each lane on the way of its calls, and at the ends runs, of calls
 * with one way and one priority. What stands at the top of a tree is what is fetched. A branch whose lane turns out to
 * be closed is shut: it leaves its parent with all that is in it, however much that is, and comes back when the lane
 * opens. So what is held back costs nothing, and holds up nobody.
 *
 * Invariants: a branch or run is in its parent's heap exactly if it isn't shut and has something at its top; its rank
 * there is that of what it has at its top.
 */
import { Heap, type HeapItem } from '../manager/heap.ts';
import type { Lane, Lanes } from './lanes.ts';
import type { StoredCall } from './stored-call.ts';

/** Fewer empty things than these are kept in one place: making them anew costs more. */
const MANY = 64;

interface Ranked {
  readonly priority: number;
  readonly order: number;
}

function isBefore(a: Ranked, b: Ranked): boolean {
  return a.priority > b.priority || (a.priority === b.priority && a.order < b.order);
}

/** Calls with one way and one priority, in the order of their submission. */
export class Run implements HeapItem, Ranked {
  heapIndex = -1;
  readonly priority: number;
  order = 0;
  readonly parent: Branch;
  /** Those that came in order; and those that came later than in their order: retried, or delayed. */
  #first: StoredCall | undefined = undefined;
  #last: StoredCall | undefined = undefined;
  #late: Heap<StoredCall> | undefined = undefined;

  constructor(priority: number, parent: Branch) {
    this.priority = priority;
    this.parent = parent;
  }

  get top(): StoredCall | undefined {
    const late = this.#late?.first;
    const first = this.#first;
    if (late === undefined) return first;
    return first === undefined || late.order < first.order ? late : first;
  }

  add(call: StoredCall): void {
    call.run = this;
    const last = this.#last;
    if (last !== undefined && call.order < last.order) {
      this.#late ??= new Heap((a, b) => a.order < b.order);
      this.#late.push(call);
    } else {
      call.previous = last;
      if (last === undefined) this.#first = call;
      else last.next = call;
      this.#last = call;
    }
  }

  remove(call: StoredCall): void {
    call.run = undefined;
    if (call.heapIndex !== -1) {
      this.#late!.remove(call);
      return;
    }
    const { previous, next } = call;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    call.previous = undefined;
    call.next = undefined;
  }
}

/** All that goes on through a lane, from where its parents lead; without parent and lane, all of a tree. */
export class Branch implements HeapItem, Ranked {
  heapIndex = -1;
  priority = 0;
  order = 0;
  readonly parent: Branch | undefined;
  readonly lane: Lane | undefined;
  isShut = false;
  readonly heap = new Heap<Branch | Run>(isBefore);
  /** The other branches of its lane. */
  previousOfLane: Branch | undefined = undefined;
  nextOfLane: Branch | undefined = undefined;
  #branches: Map<Lane, Branch> | undefined = undefined;
  /** The run that was asked for last, or all once there were two: most branches have one. */
  #run: Run | undefined = undefined;
  #runs: Map<number, Run> | undefined = undefined;

  constructor(parent?: Branch, lane?: Lane) {
    this.parent = parent;
    this.lane = lane;
  }

  get top(): Branch | Run | undefined {
    return this.heap.first;
  }

  through(lane: Lane): Branch {
    this.#branches ??= new Map();
    let branch = this.#branches.get(lane);
    if (branch === undefined) {
      branch = new Branch(this, lane);
      this.#branches.set(lane, branch);
      branch.nextOfLane = lane.branch;
      if (lane.branch !== undefined) lane.branch.previousOfLane = branch;
      lane.branch = branch;
    }
    return branch;
  }

  runOf(priority: number): Run {
    if (this.#run?.priority === priority) return this.#run;
    let run = this.#runs?.get(priority);
    if (run === undefined) {
      run = new Run(priority, this);
      if (this.#run !== undefined && this.#runs === undefined) this.#runs = new Map([[this.#run.priority, this.#run]]);
      this.#runs?.set(priority, run);
    }
    this.#run = run;
    return run;
  }

  /** A run is empty: it is forgotten, if there are many. */
  dropRun(run: Run): void {
    if (this.#runs === undefined || this.#runs.size <= MANY) return;
    this.#runs.delete(run.priority);
    if (this.#run === run) this.#run = undefined;
  }

  /** Nobody comes this way any more. */
  remove(): void {
    const { parent, lane } = this;
    if (parent !== undefined && lane !== undefined) {
      parent.#branches!.delete(lane);
      const { previousOfLane, nextOfLane } = this;
      if (previousOfLane === undefined) lane.branch = nextOfLane;
      else previousOfLane.nextOfLane = nextOfLane;
      if (nextOfLane !== undefined) nextOfLane.previousOfLane = previousOfLane;
      lane.shut?.delete(this);
    }
    if (this.#branches !== undefined) for (const branch of this.#branches.values()) branch.remove();
  }
}

/** Puts right where something stands with its parents after its top, or whether it is shut, has changed. */
function place(part: Branch | Run): void {
  for (let at: Branch | Run = part; at.parent !== undefined; at = at.parent) {
    const { top } = at;
    const { heap } = at.parent;
    if (top === undefined || (at instanceof Branch && at.isShut)) {
      heap.remove(at);
      continue;
    }
    if (at instanceof Branch) at.priority = top.priority;
    at.order = top.order;
    if (at.heapIndex === -1) heap.push(at);
    else heap.update(at);
  }
}

/** The calls of a queue, in a tree for each manager. */
interface Shelf {
  readonly trees: Map<string, Branch>;
  calls: number;
}

export class ReadyQueue {
  readonly #lanes: Lanes;
  readonly #shelves = new Map<string, Shelf>();

  constructor(lanes: Lanes) {
    this.#lanes = lanes;
  }

  /** For tests: how many queues are remembered. */
  get size(): number {
    return this.#shelves.size;
  }

  /** Whether no lane that is closed is known to hold it back. */
  add(call: StoredCall): boolean {
    const shelf = this.#shelf(call.queue);
    shelf.calls++;
    let branch = treeOf(shelf, call.manager);
    let isFree = true;
    for (const lane of call.lanes) {
      branch = branch.through(lane);
      if (branch.isShut) isFree = false;
    }
    const run = branch.runOf(call.priority);
    run.add(call);
    // Else it waits behind others, and nothing has changed for them.
    if (run.top === call) place(run);
    return isFree;
  }

  remove(call: StoredCall): void {
    const run = call.run!;
    const wasTop = run.top === call;
    run.remove(call);
    if (wasTop) {
      place(run);
      if (run.top === undefined) run.parent.dropRun(run);
    }
    const shelf = this.#shelf(call.queue);
    if (--shelf.calls > 0 || this.#shelves.size <= MANY) return;
    this.#shelves.delete(call.queue);
    for (const tree of shelf.trees.values()) tree.remove();
  }

  /** The call of a queue to be delivered next, on a manager for which there is room. */
  next(queue: string, hasRoom: (manager: string) => boolean, now: number): StoredCall | undefined {
    const shelf = this.#shelves.get(queue);
    if (shelf === undefined) return undefined;
    let best: StoredCall | undefined;
    for (const [manager, tree] of shelf.trees) {
      if (tree.top === undefined || !hasRoom(manager)) continue;
      const call = this.#topOf(tree, now);
      if (call !== undefined && (best === undefined || isBefore(call, best))) best = call;
    }
    return best;
  }

  /** A lane has opened. */
  open(lane: Lane): void {
    const branches = lane.shut ?? [];
    lane.shut = undefined;
    for (const branch of branches) {
      branch.isShut = false;
      place(branch);
    }
  }

  clear(): void {
    this.#shelves.clear();
  }

  #shelf(queue: string): Shelf {
    let shelf = this.#shelves.get(queue);
    if (shelf === undefined) {
      shelf = { trees: new Map(), calls: 0 };
      this.#shelves.set(queue, shelf);
    }
    return shelf;
  }

  /** Down from the top; where a lane is closed, its branch is shut, and the way begins anew. */
  #topOf(tree: Branch, now: number): StoredCall | undefined {
    let at = tree;
    for (;;) {
      const { top } = at;
      if (top === undefined) return undefined;
      if (top instanceof Run) return top.top;
      if (top.lane!.isOpen(now)) {
        at = top;
      } else {
        top.isShut = true;
        this.#lanes.shut(top, top.lane!, now);
        place(top);
        at = tree;
      }
    }
  }
}

function treeOf({ trees }: Shelf, manager: string): Branch {
  let tree = trees.get(manager);
  if (tree === undefined) {
    tree = new Branch();
    trees.set(manager, tree);
  }
  return tree;
}
