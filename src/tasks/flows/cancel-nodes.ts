/** The cancel of calls that others may hang on: what a run of a flow has under way goes with it. */
import { CallEndedError, UnknownCallError } from '../../engines/errors.ts';
import type { CallRecord, Engine } from '../../engines/index.ts';
import { liveCalls } from '../scan-all.ts';
import { FLOWS } from './ids.ts';

/** What became of a call that was to be canceled: it had ended, or was forgotten; it is canceled; its run is told to end. */
export type Canceled = 'canceled' | 'requested' | 'ended';

/** Cancels a call, and all that hangs on it. @throws CallEndedError, UnknownCallError */
export async function cancelCall(engine: Engine, id: string, error: string): Promise<'canceled' | 'requested'> {
  const record = await engine.get(id);
  try {
    return await engine.cancel(id, error);
  } finally {
    if (record !== undefined) await cancelNodes(engine, runsAmong([record]), error);
  }
}

/** Cancels a call if it hasn't ended. */
export async function cancelOne(engine: Engine, id: string, error: string): Promise<Canceled> {
  try {
    return await engine.cancel(id, error);
  } catch (refusal) {
    if (refusal instanceof CallEndedError || refusal instanceof UnknownCallError) return 'ended';
    throw refusal;
  }
}

/**
 * Cancels what runs of flows have under way, however deep; those who coordinate them may be dead. Resolves to the ids of
 * the nodes' calls.
 */
export async function cancelNodes(engine: Engine, runs: Iterable<string>, error: string): Promise<string[]> {
  const canceled: string[] = [];
  let parents = new Set(runs);
  while (parents.size > 0) {
    // Of many runs all are looked for at once, as each look may be one at everything.
    const filter = parents.size === 1 ? { parentId: [...parents][0]! } : {};
    const nodes = (await liveCalls(engine, filter)).filter(({ parentId = '' }) => parents.has(parentId));
    for (const { id } of nodes) {
      await cancelOne(engine, id, error);
      canceled.push(id);
    }
    parents = new Set(runsAmong(nodes));
  }
  return canceled;
}

/** Which of these are runs of flows. */
export function runsAmong(records: readonly CallRecord[]): string[] {
  return records.filter(({ manager }) => manager === FLOWS).map(({ id }) => id);
}
