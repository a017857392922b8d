/** Reads the text of Prometheus' exposition format 0.0.4, as strictly as Prometheus does. */
import assert from 'node:assert/strict';

export interface Sample {
  readonly name: string;
  readonly labels: Record<string, string>;
  readonly value: number;
}

const VALUE = /^(?:[+-]Inf|NaN|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/;
const ESCAPES: Record<string, string> = { '\\\\': '\\', '\\"': '"', '\\n': '\n' };

/** Reads text of format 0.0.4, strictly: every line, the order of families, and no series twice. */
export function parse(text: string): Sample[] {
  assert.ok(text.endsWith('\n') && !text.endsWith('\n\n'));
  const samples: Sample[] = [];
  const families = new Map<string, string>();
  const series = new Set<string>();
  let helped = '';
  let family = '';
  for (const line of text.slice(0, -1).split('\n')) {
    const help = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (\S.*)$/.exec(line);
    const type = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|summary)$/.exec(line);
    if (help !== null) {
      assert.ok(!families.has(help[1]!), `a second HELP: ${line}`);
      helped = help[1]!;
    } else if (type !== null) {
      assert.equal(type[1], helped, `TYPE without its HELP before: ${line}`);
      family = helped;
      families.set(family, type[2]!);
    } else {
      const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.+)\})? (\S+)$/s.exec(line);
      assert.ok(sample !== null, `not a sample: ${JSON.stringify(line)}`);
      const [, name = '', labelText = '', value = ''] = sample;
      const labels = parseLabels(labelText);
      const kind = families.get(family);
      assert.equal(kind === 'summary' ? name.replace(/_(?:sum|count)$/, '') : name, family, `out of place: ${line}`);
      assert.equal(kind === 'counter', name.endsWith('_total'), `counters, and they alone, are totals: ${line}`);
      const { quantile } = labels;
      assert.equal(
        quantile !== undefined,
        kind === 'summary' && name === family,
        `quantiles are of summaries: ${line}`,
      );
      assert.match(value, VALUE, line);
      const key = `${name} ${JSON.stringify(Object.entries(labels).sort())}`;
      assert.ok(!series.has(key), `a series twice: ${line}`);
      series.add(key);
      samples.push({ name, labels, value: Number(value.replace('Inf', 'Infinity')) });
    }
  }
  return samples;
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\[\\"n])*)"(,|$)/y;
  while (label.lastIndex < text.length) {
    const match = label.exec(text);
    assert.ok(match !== null, `not labels: ${text}`);
    labels[match[1]!] = match[2]!.replace(/\\[\\"n]/g, (escaped) => ESCAPES[escaped]!);
  }
  return labels;
}

export function find(samples: readonly Sample[], name: string, labels: Record<string, string> = {}): number {
  const found = samples.filter(
    (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  );
  assert.equal(found.length, 1, `${found.length} samples of ${name}`);
  return found[0]!.value;
}
