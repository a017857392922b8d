/** `errand/otel`: dispatchers as OpenTelemetry sees them. Re-exports, nothing else. */
export { type InstrumentOptions, instrument } from './instrument.ts';
