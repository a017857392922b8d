/** The port of engines, and the memory engine. Re-exports, nothing else. */
export type {
  CallEvent,
  CallFilter,
  CallRecord,
  CallState,
  Capabilities,
  ConsumerListener,
  Delivery,
  DuplicatePolicy,
  Engine,
  EngineLock,
  Failure,
  FetchRequest,
  LaneLimit,
  Lease,
  NewCall,
  Page,
  Retention,
  Update,
} from './engine.ts';
export { MOST_LOG_LINES } from './engine.ts';
export { CallEndedError, StaleLeaseError, UnknownCallError } from './errors.ts';
export { type MemoryEngineOptions, memoryEngine } from './memory-engine.ts';
export { isEnded, MOVES } from './moves.ts';
