/** The cancel of many calls at once. */
import { CallEndedError, UnknownCallError } from '../engines/errors.ts';
import type { CallFilter, CallRecord, Engine } from '../engines/index.ts';
import { isEnded } from '../engines/moves.ts';
import { checkFilter } from './records.ts';

/** What became of a call that was to be canceled: it had ended, or was forgotten; it is canceled; its run is told to end. */
export type Canceled = 'canceled' | 'requested' | 'ended';

/** So many at a time are asked for. */
const PAGE = 1_000;

/** Cancels all that match and have not ended; all that are named by their ids alone. Says for each what became of it. */
export async function cancelAll(engine: Engine, filter: CallFilter, error: string): Promise<Map<string, Canceled>> {
  const outcomes = new Map<string, Canceled>();
  // All are found first: as they are canceled, others go on that waited for them.
  for (const id of await idsOf(engine, filter)) outcomes.set(id, await cancelOne(engine, id, error));
  return outcomes;
}

async function cancelOne(engine: Engine, id: string, error: string): Promise<Canceled> {
  try {
    return await engine.cancel(id, error);
  } catch (refusal) {
    if (refusal instanceof CallEndedError || refusal instanceof UnknownCallError) return 'ended';
    throw refusal;
  }
}

async function idsOf(engine: Engine, filter: CallFilter): Promise<Iterable<string>> {
  const { id, ...rest } = checkFilter(filter);
  if (id !== undefined && Object.values(rest).every((wanted) => wanted === undefined)) {
    return typeof id === 'string' ? [id] : id;
  }
  const ids = new Set<string>();
  const seen: string[] = [];
  for (;;) {
    const page = await pageAfter(engine, filter, seen);
    for (const call of page) {
      seen.push(call.id);
      if (!isEnded(call.state)) ids.add(call.id);
    }
    if (page.length < PAGE) return ids;
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
