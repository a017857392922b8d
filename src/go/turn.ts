/**
 * Loops over channels that are always ready go on in microtasks and would keep timers and I/O waiting for ever. So
 * hand-overs are counted, in all channels together, and after so many of them, or so many ms, those that come are
 * told only in the next turn of the event loop. Go's scheduler preempts its goroutines for the same end.
 */

const HAND_OVERS = 1_000;
const MS = 10;
/** A look at the clock costs about as much as a hand-over, so only every so often. */
const UNTIMED = 40;

/** Taken when this is loaded, as fake timers of tests would never fire them. */
const { setImmediate: immediate, setTimeout: timeout } = globalThis as {
  setImmediate?: (fn: () => void) => unknown;
  setTimeout: (fn: () => void, ms: number) => unknown;
};

/** What is told in the next turn, in order; not empty: it is on its way. */
let late: (() => void)[] = [];
let counted = 0;
let untilLook = UNTIMED;
let began = 0;

/** Counts a hand-over. True if it has to be told by {@link inNextTurn}. */
export function isTurnOver(): boolean {
  if (--untilLook > 0) return false;
  if (late.length > 0) return true;
  untilLook = UNTIMED;
  counted += UNTIMED;
  return counted >= HAND_OVERS || performance.now() - began >= MS;
}

/**
 * Whether hand-overs wait for the next turn. Then senders must wait as well: if they went on, they would fill every
 * buffer meanwhile, and what flowed would have to wait for room at every value from then on.
 */
export function isTurnDue(): boolean {
  return late.length > 0;
}

/** Calls `tell` in the next turn of the event loop, after those that wait for it already. */
export function inNextTurn(tell: () => void): void {
  if (late.push(tell) > 1) return;
  untilLook = 0; // until then, everybody waits
  if (immediate !== undefined) immediate(begin);
  else if (typeof MessageChannel === 'function') post();
  else timeout(begin, 0);
}

/** Counts a hand-over that had no need to wait, and promises what came of it. */
export function told<Result>(result: Result): Promise<Result> {
  if (!isTurnOver()) return Promise.resolve(result);
  return new Promise((resolve) => inNextTurn(() => resolve(result)));
}

function begin(): void {
  const told = late;
  late = [];
  counted = 0;
  untilLook = UNTIMED;
  began = performance.now();
  for (const tell of told) tell();
}

/** Browsers have no setImmediate, and their timers wait 4 ms; a message comes at once. */
function post(): void {
  const { port1, port2 } = new MessageChannel();
  const receiver = port1 as unknown as { onmessage: () => void; close(): void };
  receiver.onmessage = () => {
    receiver.close();
    begin();
  };
  port2.postMessage(undefined);
}
