// Charts over Apache ECharts: one look for all, in light and in dark, redrawn in place.

import { clock, compact } from "./format.js";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map();

const PALETTE = {
  light: ["#2f6fde", "#12a594", "#e08a1e", "#8b5cf6", "#d6409f", "#5b8c00", "#0091a8", "#b4532a", "#7a869a"],
  dark: ["#6ea2ff", "#3fd0bd", "#f0b04a", "#b294ff", "#f27bc4", "#9ccc4a", "#4cc9df", "#e88a5f", "#9aa7ba"],
};
const OUTCOMES = {
  light: { succeeded: "#1d9a6c", failed: "#d63c4b", cancelled: "#9aa3b2", rejected: "#e0a021" },
  dark: { succeeded: "#3fc490", failed: "#ff6b78", cancelled: "#7d8798", rejected: "#f0b04a" },
};

const mode = () => (dark.matches ? "dark" : "light");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function outcomeColours() {
  return OUTCOMES[mode()];
}

function chartOf(element) {
  const known = echarts.getInstanceByDom(element);
  if (known) return known;
  const chart = echarts.init(element, null, { renderer: "canvas" });
  new ResizeObserver(() => chart.resize()).observe(element);
  return chart;
}

function show(element, build, choose) {
  drawn.set(element, build);
  const chart = chartOf(element);
  chart.off("click");
  if (choose) chart.on("click", { componentType: "series" }, choose);
  draw(chart, build);
}

function draw(chart, build) {
  chart.setOption({ animation: false, color: PALETTE[mode()], textStyle: { fontFamily: "inherit", color: colour("--muted") }, ...build() }, true);
}

dark.addEventListener("change", () => drawn.forEach((build, element) => element.isConnected && draw(chartOf(element), build)));

export function forget(element) {
  drawn.delete(element);
  echarts.getInstanceByDom(element)?.dispose();
}

function legend() {
  return { type: "scroll", bottom: 0, icon: "roundRect", itemWidth: 10, itemHeight: 10, itemGap: 14, textStyle: { color: colour("--muted") }, pageTextStyle: { color: colour("--muted") } };
}

function tooltip(format) {
  return {
    trigger: "axis",
    confine: true,
    backgroundColor: colour("--card"),
    borderColor: colour("--line"),
    textStyle: { color: colour("--text"), fontSize: 12.5 },
    axisPointer: { type: "line", lineStyle: { color: colour("--muted") } },
    order: "valueDesc",
    valueFormatter: (value) => (value === null || value === undefined ? "–" : format(value)),
  };
}

function axes(times, span, format) {
  const quiet = { axisLine: { lineStyle: { color: colour("--line") } }, axisTick: { show: false }, axisLabel: { color: colour("--muted"), hideOverlap: true } };
  return {
    xAxis: { type: "category", boundaryGap: true, data: times.map((time) => clock(time, span)), ...quiet },
    yAxis: { type: "value", minInterval: 0, splitNumber: 4, splitLine: { lineStyle: { color: colour("--line") } }, axisLabel: { color: colour("--muted"), formatter: format } },
    grid: { left: 8, right: 12, top: 12, bottom: 34, containLabel: true },
  };
}

const span = (times) => (times.length ? times[times.length - 1] - times[0] : 0);

// Shaded steps behind a chart's first series. `marks` are [first step, last step, what].
function shades(marks) {
  if (!marks?.length) return undefined;
  return {
    silent: false,
    itemStyle: { color: colour("--bad"), opacity: 0.14 },
    label: { show: false },
    // The name of what an alert is about is a client's text, and a formatter's answer is read as markup.
    tooltip: { formatter: ({ name }) => echarts.format.encodeHTML(name), trigger: "item" },
    data: marks.map(([begin, end, name]) => [{ xAxis: begin, name }, { xAxis: end }]),
  };
}

// Stacked bars over time. `series` are {name, values}; `colours` fixes a colour per name, `choose` is told of a click: (name, step).
export function bars(element, times, series, { format = compact, colours = () => ({}), marks = [], choose } = {}) {
  const build = () => ({
    ...axes(times, span(times), format),
    legend: legend(),
    tooltip: tooltip(format),
    series: series.map(({ name, values }, index) => ({
      name,
      type: "bar",
      stack: "all",
      markArea: index === 0 ? shades(marks) : undefined,
      barCategoryGap: "18%",
      data: values,
      itemStyle: colours()[name] ? { color: colours()[name] } : undefined,
      emphasis: { focus: "series" },
    })),
  });
  show(element, build, choose && (({ seriesName, dataIndex }) => choose(seriesName, dataIndex)));
}

// Lines over time; a step without a value is a gap, and a lonely value a dot.
export function lines(element, times, series, { format, marks = [] }) {
  show(element, () => ({
    ...axes(times, span(times), format),
    legend: legend(),
    tooltip: tooltip(format),
    series: series.map(({ name, values }, index) => ({
      name,
      type: "line",
      data: values,
      symbolSize: 4,
      itemStyle: { color: PALETTE[mode()][index === 0 ? 0 : 2] },
      showSymbol: values.filter((value) => value !== null).length <= 40,
      lineStyle: { width: 2 },
      markArea: index === 0 ? shades(marks) : undefined,
      areaStyle: index === 0 ? { opacity: 0.12 } : undefined,
      connectNulls: false,
    })),
  }));
}

// Horizontal stacked bars: one per row {label, parts: {name: value}}; `choose` is told of a click: (label, name).
export function rows(element, items, { format = compact, choose } = {}) {
  const names = [...new Set(items.flatMap((item) => Object.keys(item.parts)))].sort();
  element.style.height = `${Math.max(120, 62 + 34 * items.length)}px`;
  const build = () => ({
    grid: { left: 8, right: 16, top: 6, bottom: 34, containLabel: true },
    legend: legend(),
    tooltip: { ...tooltip(format), axisPointer: { type: "shadow" } },
    xAxis: { type: "value", splitNumber: 4, minInterval: 1, splitLine: { lineStyle: { color: colour("--line") } }, axisLabel: { color: colour("--muted"), formatter: format } },
    yAxis: { type: "category", inverse: true, data: items.map((item) => item.label), axisTick: { show: false }, axisLine: { lineStyle: { color: colour("--line") } }, axisLabel: { color: colour("--text") } },
    series: names.map((name) => ({ name, type: "bar", stack: "all", barMaxWidth: 18, data: items.map((item) => item.parts[name] ?? 0) })),
  });
  show(element, build, choose && (({ name, seriesName }) => choose(name, seriesName)));
}
