/** All calls of a filter, however many: page by page, while they come and go. */
import { UnknownCallError } from '../engines/errors.ts';
import type { CallFilter, CallRecord, Engine } from '../engines/index.ts';
import { isEnded } from '../engines/moves.ts';
import { inNextTurn } from '../go/turn.ts';

/** So many at a time are asked for. */
const PAGE = 1_000;

/** All that match, the newest first; those that come meanwhile are left out. */
export async function* scanAll(engine: Engine, filter: CallFilter): AsyncGenerator<CallRecord> {
  const seen: string[] = [];
  for (;;) {
    const page = await pageAfter(engine, filter, seen);
    for (const { id } of page) seen.push(id);
    yield* page;
    if (page.length < PAGE) return;
    // An engine in memory answers at once: timers and I/O get their turn all the same.
    await new Promise<void>(inNextTurn);
  }
}

/** Those that match and haven't ended, the newest first. */
export async function liveCalls(engine: Engine, filter: CallFilter): Promise<CallRecord[]> {
  const live = new Map<string, CallRecord>();
  for await (const call of scanAll(engine, filter)) if (!isEnded(call.state)) live.set(call.id, call);
  return [...live.values()];
}

/** The next page after the last call seen that isn't forgotten meanwhile. */
async function pageAfter(engine: Engine, filter: CallFilter, seen: string[]): Promise<CallRecord[]> {
  for (;;) {
    const after = seen.at(-1);
    try {
      return await engine.scan(filter, { limit: PAGE, after });
    } catch (error) {
      if (after === undefined || !(error instanceof UnknownCallError)) throw error;
      seen.pop();
    }
  }
}
