/**
 * Figures in Prometheus' text exposition format 0.0.4: families of samples, and what Prometheus asks of names and labels.
 *
 * Invariant: each family of metrics appears once, HELP and TYPE first, then its samples, source by source.
 */

/** One metric: its name after the prefix, and what it says of a source. */
export interface Family<S> {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'summary';
  readonly help: string;
  readonly samples: (source: S) => readonly Sample[];
}

/** A value, with what it adds to the family's name and the source's labels. */
export interface Sample {
  readonly value: number;
  readonly suffix?: '_sum' | '_count';
  readonly labels?: Readonly<Record<string, string>>;
}

/** What is told of one source, with the labels that tell it apart. */
export interface Labeled<S> {
  readonly labels: readonly string[];
  readonly figures: S;
}

const MS_PER_SECOND = 1_000;

/** The lines of all families, in their order. */
export function linesOf<S>(prefix: string, families: readonly Family<S>[], sources: readonly Labeled<S>[]): string[] {
  return families.flatMap(({ name, type, help, samples }) => {
    const full = `${prefix}_${name}`;
    const lines = sources.flatMap(({ labels, figures }) =>
      samples(figures).map(({ value, suffix = '', labels: own = {} }) => {
        const all = [...labels, ...Object.entries(own).map(([label, text]) => labelText(label, text))];
        const braces = all.length === 0 ? '' : `{${all.join(',')}}`;
        return `${full}${suffix}${braces} ${valueText(value)}`;
      }),
    );
    // A family without a sample would be a HELP about nothing.
    return lines.length === 0 ? [] : [`# HELP ${full} ${help}`, `# TYPE ${full} ${type}`, ...lines];
  });
}

/** Percentiles are NaN when nothing was measured, as Prometheus' own clients have it. */
export function summary(
  { count, sumMs, p50Ms, p95Ms, p99Ms }: Readonly<Record<'count' | 'sumMs' | 'p50Ms' | 'p95Ms' | 'p99Ms', number>>,
  labels: Readonly<Record<string, string>> = {},
): Sample[] {
  const quantile = (q: string, ms: number): Sample => ({
    value: count === 0 ? Number.NaN : ms / MS_PER_SECOND,
    labels: { ...labels, quantile: q },
  });
  return [
    quantile('0.5', p50Ms),
    quantile('0.95', p95Ms),
    quantile('0.99', p99Ms),
    { value: sumMs / MS_PER_SECOND, suffix: '_sum', labels },
    { value: count, suffix: '_count', labels },
  ];
}

export function checkPrefix(prefix: unknown): void {
  if (typeof prefix !== 'string') throw new TypeError(`prefix must be a string, not ${String(prefix)}`);
  if (!/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(prefix)) {
    throw new RangeError(`prefix must be letters, digits, _ and :, no digit first, not ${JSON.stringify(prefix)}`);
  }
}

/** Labels as Prometheus reads them. `taken`: those that samples have themselves. */
export function labelsOf(labels: Readonly<Record<string, unknown>>, taken: readonly string[]): string[] {
  return Object.entries(labels).map(([name, value]) => {
    if (!/^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$/.test(name)) {
      throw new RangeError(`labels must be named with letters, digits and _, not ${JSON.stringify(name)}`);
    }
    if (taken.includes(name)) throw new RangeError(`labels must not have ${name}: it is taken`);
    if (typeof value !== 'string') throw new TypeError(`labels.${name} must be a string, not ${String(value)}`);
    return labelText(name, value);
  });
}

/** Two sources with the same labels would be one series with two values, and Prometheus would refuse them all. */
export function checkDistinct(sources: readonly Labeled<unknown>[]): void {
  const seen = new Set<string>();
  for (const { labels } of sources) {
    const key = labels.toSorted().join(',');
    if (seen.has(key)) throw new RangeError(`labels must tell the sources apart, not be {${key}} twice`);
    seen.add(key);
  }
}

function labelText(name: string, value: string): string {
  const escaped = value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
  return `${name}="${escaped}"`;
}

function valueText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  if (value === Number.NEGATIVE_INFINITY) return '-Inf';
  return String(value);
}
