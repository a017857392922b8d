/** `errand/testing`: what tests of errand, and of programs that use it, share. */
export { type EngineSetting, type EngineSuiteOptions, engineSuite } from './engine-suite.ts';
export { type EngineOperation, type FailureOptions, type FaultyEngine, faultyEngine } from './faulty-engine.ts';
export { LeakError, type LeakTracker, type LeakTrackerOptions, leakCheck, trackLeaks, withLeakCheck } from './leaks.ts';
export type { PoppedCall } from './popped-call.ts';
export { TestDispatcher, type TestDispatcherOptions, testDispatcher, type WithinOptions } from './test-dispatcher.ts';
export { VirtualClock, type VirtualClockOptions } from './virtual-clock.ts';
