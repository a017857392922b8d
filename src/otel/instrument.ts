/** `instrument`: has OpenTelemetry told of a dispatcher's calls. The dispatcher itself knows nothing of OpenTelemetry. */
import { type MeterProvider, metrics, type TracerProvider, trace } from '@opentelemetry/api';
import { checkNames, checkObject, wrongType } from '../manager/checks.ts';
import { Dispatcher } from '../tasks/dispatcher.ts';
import { packageVersion } from '../tasks/package-version.ts';
import { instrumentBy } from '../tasks/signals/instrument.ts';
import { Meters } from './meters.ts';
import { Spans } from './spans.ts';

/** Where spans and metrics go. */
export interface InstrumentOptions {
  /** Default: the global one, as `NodeSDK.start()` sets it. */
  readonly tracerProvider?: TracerProvider | undefined;
  /** Default: the global one. */
  readonly meterProvider?: MeterProvider | undefined;
}

/** What spans and metrics are said to come from. */
const SCOPE = 'errand';

/**
 * Has OpenTelemetry told of a dispatcher's calls, until what it gives is disposed of: a producer span for each
 * submission, a consumer span for each run, which both its link and its parent connect with the submission, and metrics.
 * A run's function is called in the context of its span, so that spans of its own, and the calls that it submits, are
 * below it. The context goes along in the headers of the call, by the global propagator; without one (and without a
 * global context manager) nothing is connected.
 *
 * @example
 * using telemetry = instrument(dispatcher);
 * @throws TypeError for wrong options; Error when the dispatcher is instrumented already
 */
export function instrument(dispatcher: Dispatcher, options: InstrumentOptions = {}): Disposable {
  if (!(dispatcher instanceof Dispatcher)) throw wrongType('dispatcher', 'a Dispatcher', dispatcher);
  checkObject('options', options);
  checkNames('instrument', options, ['tracerProvider', 'meterProvider']);
  const { tracerProvider = trace, meterProvider = metrics } = options;
  if (typeof tracerProvider?.getTracer !== 'function') {
    throw wrongType('tracerProvider', 'a TracerProvider', tracerProvider);
  }
  if (typeof meterProvider?.getMeter !== 'function') throw wrongType('meterProvider', 'a MeterProvider', meterProvider);
  const spans = new Spans(tracerProvider.getTracer(SCOPE, packageVersion()), dispatcher.name);
  const meters = new Meters(meterProvider.getMeter(SCOPE, packageVersion()), () => dispatcher.metrics());
  const detach = dispatcher[instrumentBy]({
    submitting: (submitting) => spans.submitting(submitting),
    running: (running) => spans.running(running),
    timed: meters.timed,
  });
  const unobserve = meters.observe();
  return {
    [Symbol.dispose]() {
      detach();
      unobserve();
    },
  };
}
