/** The cancel of many calls at once. */
import type { CallFilter, Engine } from '../engines/index.ts';
import { checkFilter } from './filters.ts';
import { type Canceled, cancelNodes, cancelOne, runsAmong } from './flows/cancel-nodes.ts';
import { liveCalls } from './scan-all.ts';

export type { Canceled };

/**
 * Cancels all that match and have not ended; all that are named by their ids alone. Says for each what became of it. Of
 * what runs of flows have under way, which is canceled with them, it says nothing.
 */
export async function cancelAll(engine: Engine, filter: CallFilter, error: string): Promise<Map<string, Canceled>> {
  const outcomes = new Map<string, Canceled>();
  // All are found first: as they are canceled, others go on that waited for them.
  const live = await liveCalls(engine, checkFilter(filter));
  const ids = idsAlone(filter) ?? live.map(({ id }) => id);
  for (const id of ids) outcomes.set(id, await cancelOne(engine, id, error));
  await cancelNodes(engine, runsAmong(live), error);
  return outcomes;
}

function idsAlone({ id, ...rest }: CallFilter): readonly string[] | undefined {
  if (id === undefined || Object.values(rest).some((wanted) => wanted !== undefined)) return undefined;
  return typeof id === 'string' ? [id] : id;
}
