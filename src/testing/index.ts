/** `errand/testing`: what tests of errand, and of programs that use it, share. */
export { type EngineSetting, type EngineSuiteOptions, engineSuite } from './engine-suite.ts';
export { type EngineOperation, type FailureOptions, type FaultyEngine, faultyEngine } from './faulty-engine.ts';
export { LeakError, type LeakTracker, type LeakTrackerOptions, trackLeaks, withLeakCheck } from './leaks.ts';
export { VirtualClock, type VirtualClockOptions } from './virtual-clock.ts';
