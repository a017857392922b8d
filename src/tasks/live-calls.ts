/** Calls that haven't ended: found page by page, while they come and go. */
import { UnknownCallError } from '../engines/errors.ts';
import type { CallFilter, CallRecord, Engine } from '../engines/index.ts';
import { isEnded } from '../engines/moves.ts';

/** So many at a time are asked for. */
const PAGE = 1_000;

/** Those that match and haven't ended, the newest first. */
export async function liveCalls(engine: Engine, filter: CallFilter): Promise<CallRecord[]> {
  const live = new Map<string, CallRecord>();
  const seen: string[] = [];
  for (;;) {
    const page = await pageAfter(engine, filter, seen);
    for (const call of page) {
      seen.push(call.id);
      if (!isEnded(call.state)) live.set(call.id, call);
    }
    if (page.length < PAGE) return [...live.values()];
  }
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
