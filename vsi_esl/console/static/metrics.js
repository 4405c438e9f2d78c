// The service's own figures (/metrics, in Prometheus' text format), and what they are between two looks.

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)/;

export class Metrics {
  constructor() {
    this.samples = new Map();
    this.before = new Map();
    this.at = 0;
    this.seconds = 0;
  }

  read(text) {
    this.before = this.samples;
    this.seconds = this.at ? (performance.now() - this.at) / 1000 : 0;
    this.at = performance.now();
    this.samples = new Map();
    for (const line of text.split("\n")) {
      if (line.startsWith("#")) continue;
      const found = SAMPLE.exec(line);
      if (found) this.samples.set(`${found[1]}{${found[2] ?? ""}}`, Number(found[3]));
    }
  }

  get known() {
    return this.samples.size > 0;
  }

  // The sum over all labels.
  value(name, from = this.samples) {
    let sum = 0;
    for (const [key, value] of from) if (key.startsWith(`${name}{`)) sum += value;
    return sum;
  }

  // How much a count has grown per second since the look before; null when there was none.
  rate(name) {
    if (!this.before.size || !this.seconds) return null;
    const grown = this.value(name) - this.value(name, this.before);
    return grown < 0 ? null : grown / this.seconds;
  }

  // Below which bound of a histogram a share of what came since the look before was (of all, at the first look);
  // null for none.
  quantile(name, share) {
    const buckets = [];
    for (const [key, value] of this.samples) {
      if (!key.startsWith(`${name}_bucket{`)) continue;
      const bound = /le="([^"]+)"/.exec(key)[1];
      buckets.push([bound === "+Inf" ? Infinity : Number(bound), value - (this.before.get(key) ?? 0)]);
    }
    buckets.sort((one, other) => one[0] - other[0]);
    const total = buckets.at(-1)?.[1] ?? 0;
    if (total <= 0) return null;
    return buckets.find(([, value]) => value >= share * total)[0];
  }
}
