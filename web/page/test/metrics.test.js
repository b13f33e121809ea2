import assert from "node:assert/strict";
import test from "node:test";
import { metric, parseMetrics, quantile, rate } from "../metrics.js";

const TEXT = `# HELP a_total what
# TYPE a_total counter
a_total 5
b_total{reason="x y",k="\\"}"} 1
b_total{reason="z"} 2.5
h_bucket{le="0.1"} 2
h_bucket{le="0.2"} 6
h_bucket{le="+Inf"} 8
`;
const sample = (text, at) => ({ at, samples: parseMetrics(text) });

test("values and labels", () => {
  const samples = parseMetrics(TEXT);
  assert.equal(metric(samples, "a_total"), 5);
  assert.equal(metric(samples, "b_total"), 3.5);
  assert.equal(metric(samples, "c_total"), null);
  assert.equal(samples.get("b_total")[0].labels.k, '\\"}');
});

test("rates", () => {
  const before = sample("a_total 5\n", 1000), now = sample("a_total 25\n", 3000);
  assert.equal(rate(before, now, "a_total"), 10);
  assert.equal(rate(null, now, "a_total"), null);
  assert.equal(rate(now, sample("a_total 4\n", 5000), "a_total"), 2);
  assert.equal(rate(before, now, "c_total"), null);
});

test("quantiles of what came between", () => {
  const now = sample(TEXT, 1);
  assert.equal(quantile(null, now, "h", 0.25), 0.1);
  assert.ok(Math.abs(quantile(null, now, "h", 0.5) - 0.15) < 1e-9);
  assert.equal(quantile(null, now, "h", 0.99), 0.2);
  assert.equal(quantile(now, now, "h", 0.5), null);
  assert.equal(quantile(null, now, "g", 0.5), null);
  const later = sample('h_bucket{le="0.1"} 6\nh_bucket{le="0.2"} 10\nh_bucket{le="+Inf"} 12\n', 2);
  assert.ok(Math.abs(quantile(now, later, "h", 0.5) - 0.05) < 1e-9);
});
