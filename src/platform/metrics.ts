type Labels = Record<string, string>;

/** Counters, gauges and histograms of one process, exported as Prometheus text. */
export interface Metrics {
  count(name: string, labels?: Labels, by?: number): void;
  /** Registers a gauge whose value is read on each export. */
  gauge(name: string, read: () => number, labels?: Labels): void;
  /** Adds a value to a histogram in milliseconds. */
  observe(name: string, valueMs: number, labels?: Labels): void;
  /** Looks up one series of a histogram once, for values that are observed tens of thousands of times a second. */
  observer(name: string, labels?: Labels): (valueMs: number) => void;
  text(): string;
}

const bucketsMs = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];
// Label values from outside must not grow memory without bound: beyond this many, new series are dropped.
const seriesMax = 5_000;

interface Histogram {
  counts: number[];
  sum: number;
  total: number;
}

export function createMetrics(): Metrics {
  const counters = new Map<string, number>();
  const gauges = new Map<string, () => number>();
  const histograms = new Map<string, Histogram>();

  return {
    count(name, labels, by = 1) {
      const series = seriesOf(name, labels);
      if (counters.has(series) || counters.size < seriesMax)
        counters.set(series, (counters.get(series) ?? 0) + by);
    },
    gauge(name, read, labels) {
      gauges.set(seriesOf(name, labels), read);
    },
    observe(name, valueMs, labels) {
      const histogram = histogramOf(name, labels);
      if (histogram !== undefined) add(histogram, valueMs);
    },
    observer(name, labels) {
      const histogram = histogramOf(name, labels);
      return histogram === undefined ? () => undefined : (valueMs) => add(histogram, valueMs);
    },
    text() {
      const lines = [...counters].map(([series, value]) => `${series} ${value}`);
      for (const [series, read] of gauges) lines.push(`${series} ${read()}`);
      for (const [series, histogram] of histograms) lines.push(...histogramLines(series, histogram));
      return `${lines.join('\n')}\n`;
    },
  };

  function histogramOf(name: string, labels: Labels | undefined): Histogram | undefined {
    const series = seriesOf(name, labels);
    let histogram = histograms.get(series);
    if (histogram === undefined && histograms.size < seriesMax) {
      histogram = { counts: bucketsMs.map(() => 0), sum: 0, total: 0 };
      histograms.set(series, histogram);
    }
    return histogram;
  }
}

function add(histogram: Histogram, valueMs: number): void {
  histogram.sum += valueMs;
  histogram.total++;
  const bucket = bucketsMs.findIndex((bound) => valueMs <= bound);
  if (bucket >= 0) histogram.counts[bucket] = (histogram.counts[bucket] ?? 0) + 1;
}

const unsafe = /[\\"\n]/g;

/** On the hot path of each request and each event, so it builds the text without intermediate arrays. */
function seriesOf(name: string, labels: Labels = {}): string {
  let pairs = '';
  for (const key in labels) {
    const value = labels[key] ?? '';
    pairs += `${pairs === '' ? '' : ','}${key}="${value.search(unsafe) < 0 ? value : value.replace(unsafe, '_')}"`;
  }
  return pairs === '' ? name : `${name}{${pairs}}`;
}

function histogramLines(series: string, { counts, sum, total }: Histogram): string[] {
  const [name = '', rest = ''] = series.split(/\{(.*)\}$/);
  const labelled = (suffix: string, extra: string) => {
    const inside = [rest, extra].filter((part) => part !== '').join(',');
    return `${name}${suffix}${inside === '' ? '' : `{${inside}}`}`;
  };
  let below = 0;
  const lines = bucketsMs.map((bound, index) => {
    below += counts[index] ?? 0;
    return `${labelled('_bucket', `le="${bound}"`)} ${below}`;
  });
  lines.push(`${labelled('_bucket', 'le="+Inf"')} ${total}`);
  lines.push(`${labelled('_sum', '')} ${sum}`, `${labelled('_count', '')} ${total}`);
  return lines;
}
