// Prometheus' text, and what is told of two samples of it.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

// { name: [{ labels, value }] }
export function parseMetrics(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const m = LINE.exec(line);
    if (!m || line[0] === "#") continue;
    const labels = {};
    for (const [, name, value] of (m[2] ?? "").matchAll(LABEL)) labels[name] = value;
    if (!found.has(m[1])) found.set(m[1], []);
    const value = m[3] === "+Inf" ? Infinity : Number(m[3]);
    found.get(m[1]).push({ labels, value });
  }
  return found;
}

// The sum over all labels; null where there is no such metric.
export function metric(samples, name) {
  const rows = samples?.get(name);
  return rows ? rows.reduce((sum, row) => sum + row.value, 0) : null;
}

// What a counter grew by a second; null where that is not known. A server that began anew counts
// from 0.
export function rate(before, now, name) {
  const a = metric(before?.samples, name), b = metric(now.samples, name);
  const seconds = before ? (now.at - before.at) / 1000 : 0;
  return a === null || b === null || seconds <= 0 ? null : (b < a ? b : b - a) / seconds;
}

const limit = (row) => (row.labels.le === "+Inf" ? Infinity : Number(row.labels.le));

// The q-quantile of what a histogram took between two samples, straight lines between its bounds;
// null where nothing came.
export function quantile(before, now, name, q) {
  const rows = now.samples?.get(`${name}_bucket`) ?? [];
  const old = new Map((before?.samples?.get(`${name}_bucket`) ?? [])
    .map((row) => [limit(row), row.value]));
  const buckets = rows.map((row) => [limit(row), row.value - (old.get(limit(row)) ?? 0)])
    .sort((a, b) => a[0] - b[0]);
  const n = buckets.at(-1)?.[1] ?? 0;
  if (!(n > 0)) return null;
  let from = 0, below = 0;
  for (const [to, upTo] of buckets) {
    if (upTo >= q * n && upTo > below) {
      if (to === Infinity) return from;
      return from + (to - from) * (q * n - below) / (upTo - below);
    }
    if (to !== Infinity) from = to;
    below = upTo;
  }
  return from;
}
