/** The cancel of many calls at once. */
import { CallEndedError, UnknownCallError } from '../engines/errors.ts';
import type { CallFilter, Engine } from '../engines/index.ts';
import { isEnded } from '../engines/moves.ts';
import { checkFilter } from './records.ts';
import { scanAll } from './scan-all.ts';

/** What became of a call that was to be canceled: it had ended, or was forgotten; it is canceled; its run is told to end. */
export type Canceled = 'canceled' | 'requested' | 'ended';

/** Cancels all that match and have not ended; all that are named by their ids alone. Says for each what became of it. */
export async function cancelAll(engine: Engine, filter: CallFilter, error: string): Promise<Map<string, Canceled>> {
  const outcomes = new Map<string, Canceled>();
  // All are found first: as they are canceled, others go on that waited for them.
  for (const id of await idsOf(engine, filter)) outcomes.set(id, await cancelOne(engine, id, error));
  return outcomes;
}

/** Cancels one, if it is not too late. */
export async function cancelOne(engine: Engine, id: string, error: string): Promise<Canceled> {
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
  for await (const call of scanAll(engine, filter)) if (!isEnded(call.state)) ids.add(call.id);
  return ids;
}
