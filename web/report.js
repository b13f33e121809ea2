// A report page: what `paceline plan --html` and `paceline load --html` put into #report, as tables
// and plots. src/cli/report.h says what the JSON looks like.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import "./report.css";

const report = JSON.parse(document.getElementById("report").textContent);
const COLOURS = ["#2f6fde", "#d9642b", "#2f9e63", "#a347ba", "#b8900c", "#c8375f", "#2a9db0"];

function element(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined && text !== null) e.textContent = String(text);
  if (className) e.className = className;
  return e;
}

function append(parent, ...children) {
  parent.append(...children);
  return parent;
}

const isNumber = (value) => /^[-+]?[\d,.]+(e[-+]?\d+)?%?$/.test(value);

function table({ caption, head, rows }) {
  const t = element("table");
  if (caption) t.append(element("caption", caption));
  if (head) t.append(append(element("thead"), append(element("tr"), ...head.map((h) => element("th", h)))));
  const body = element("tbody");
  for (const row of rows)
    body.append(append(element("tr"), ...row.map((cell) => {
      const text = cell === null ? "" : String(cell);
      return element("td", text, isNumber(text) ? "number" : undefined);
    })));
  return append(element("div", undefined, "scroll"), append(t, body));
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  return { text: style.getPropertyValue("--text"), grid: style.getPropertyValue("--grid") };
}

function axis(label, isLog) {
  const { text, grid } = colours();
  return {
    label, stroke: text, grid: { stroke: grid }, ticks: { stroke: grid }, size: 64,
    font: "12px system-ui", labelFont: "12px system-ui",
    ...(isLog ? { values: (_, at) => at.map((v) => (v === null ? "" : v)) } : {}),
  };
}

function plot({ caption, x, y, series }) {
  const figure = append(element("figure"), element("figcaption", caption));
  const lines = series.map((s, i) => ({
    label: s.label, stroke: COLOURS[i % COLOURS.length], width: 2, spanGaps: true,
    dash: s.dash ? [6, 4] : undefined, points: { show: x.values.length <= 40, size: 6 },
  }));
  const options = {
    width: 100, height: 320,
    scales: {
      x: { time: false, distr: x.log ? 3 : 1 },
      y: { distr: y.log ? 3 : 1, range: y.log ? undefined : (_, min, max) => [Math.min(0, min), max > 0 ? max * 1.08 : 1] },
    },
    axes: [{ ...axis(x.label, x.log), size: 44 }, axis(y.label, y.log)],
    series: [{ label: x.label }, ...lines],
    cursor: { points: { size: 8 } },
  };
  const chart = new uPlot(options, [x.values, ...series.map((s) => s.values)], figure);
  const fit = () => chart.setSize({ width: Math.max(280, figure.clientWidth), height: 320 });
  new ResizeObserver(() => requestAnimationFrame(fit)).observe(figure);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    const { text, grid } = colours();
    for (const a of chart.axes) Object.assign(a, { stroke: () => text, grid: { ...a.grid, stroke: () => grid } });
    chart.redraw();
  });
  return figure;
}

function section({ heading, text = [], tables = [], plots = [] }) {
  return append(element("section"), element("h2", heading), ...text.map((line) => element("p", line)),
    ...tables.map(table), ...plots.map(plot));
}

document.title = report.title;
append(document.body, append(element("header"), element("h1", report.title), element("p", report.lead)),
  append(element("main"), ...report.sections.map(section)), element("footer", report.made));
