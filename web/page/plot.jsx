// A plot of points over time, in the colours of when it was made. What it shows is also said in words, for who does not see it.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { colour } from "./theme.js";

const HEIGHT = 190;

function axis(more) {
  return { stroke: () => colour("--muted"), grid: { stroke: () => colour("--grid"), width: 1 },
    ticks: { show: false }, font: "12px system-ui", ...more };
}

const timeOf = (seconds) => new Date(seconds * 1000).toTimeString().slice(0, 8);

function optionsOf(series, unit) {
  return {
    width: 300, height: HEIGHT, legend: { live: false }, cursor: { y: false },
    scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [axis({ values: (_, at) => at.map(timeOf), space: 80, size: 30 }), axis({ size: 56, values: (_, at) => at.map((v) => `${v}${unit}`) })],
    series: [{}, ...series.map(({ label, hue }) => ({ label, width: 2, points: { show: false },
      stroke: () => colour(hue) }))],
  };
}

export function Plot({ title, unit = "", series, points }) {
  const figure = useRef(null), chart = useRef(null);
  useEffect(() => {
    const made = new uPlot(optionsOf(series, unit), [[], ...series.map(() => [])], figure.current);
    const fit = () => figure.current && made.setSize({ height: HEIGHT,
      width: Math.max(200, figure.current.clientWidth) });
    const observer = new ResizeObserver(() => requestAnimationFrame(fit));
    observer.observe(figure.current);
    chart.current = made;
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, []);
  useEffect(() => {
    chart.current.setData([points.map((p) => p.at),
      ...series.map(({ of }) => points.map((p) => of(p) ?? null))]);
  }, [points.length, points.at(-1)]);
  const last = points.at(-1);
  const text = (v) => (v === null || v === undefined ? "none" : `${Number(v.toPrecision(3))}${unit}`);
  const words = series.map(({ label, of }) => `${label} ${last ? text(of(last)) : "none"}`);
  return <figure class="plot">
    <figcaption>{title}</figcaption>
    <div ref={figure} role="img" aria-label={`${title}, now: ${words.join(", ")}`} />
  </figure>;
}
