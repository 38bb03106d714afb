// A stream's readings against the band that had been forecast for them, and the forecast ahead: uPlot.

import { clock, quantity, range } from "./text.js";
import { colors } from "./spark.js";

const MAX_AHEAD = 0.5; // of the width
const AXIS_FONT = "12px system-ui, sans-serif";

/** Put readings and leads on one time axis, gaps open: uPlot's columns. */
export function columnsOf(series) {
  const out = { time: [], observed: [], outside: [], lower: [], value: [], upper: [] };
  const period = series.last?.period_s ?? 0;
  const put = (...entries) => Object.keys(out).forEach((name, index) => out[name].push(entries[index]));
  series.time.forEach((time, index) => {
    const before = out.time[out.time.length - 1];
    if (period > 0 && before !== undefined && time - before > 1.5 * period) put(before + period, null, null, null, null, null);
    const observed = series.observed[index], lower = series.lower[index], upper = series.upper[index];
    const isOutside = observed !== null && lower !== null && (observed < lower || observed > upper);
    put(time, observed, isOutside ? observed : null, lower, series.value[index], upper);
  });
  const origin = out.time[out.time.length - 1];
  if (origin === undefined || !series.last) return Object.values(out);
  const path = series.path ?? { lead_s: [period], lower: [series.last.lower], value: [series.last.value], upper: [series.last.upper] };
  // The forecast begins at the reading that it was made at.
  path.lead_s.forEach((lead, index) => put(origin + lead, null, null, path.lower[index], path.value[index], path.upper[index]));
  return Object.values(out);
}

/** Make a chart in a place; it is given columns by set(). */
export function makeChart(place, readout) {
  let plot = null, series = null, marks = [];

  function build(data) {
    plot?.destroy();
    const ink = colors();
    const axis = { stroke: ink.muted, grid: { stroke: ink.line, width: 1 }, ticks: { show: false }, font: AXIS_FONT };
    plot = new uPlot({
      width: place.clientWidth, height: place.clientHeight,
      legend: { show: false },
      padding: [12, 12, 0, 0],
      cursor: { y: false, drag: { x: true, y: false }, points: { size: 7 } },
      scales: { x: { time: true } },
      axes: [{ ...axis, values: timeTexts, space: 72 }, { ...axis, size: 56, values: (_, splits) => splits.map((value) => Number(value.toPrecision(6)).toString()) }],
      series: [
        {},
        { stroke: ink.accent, width: 2, points: { show: data[0].length < 80, size: 5, fill: ink.accent } },
        { stroke: ink.bad, width: 0, points: { show: true, size: 7, fill: ink.bad, stroke: ink.bad, width: 0 } },
        { stroke: ink.ahead, width: 1, points: { show: false } },
        { stroke: ink.ahead, width: 1.5, dash: [4, 4], points: { show: false } },
        { stroke: ink.ahead, width: 1, points: { show: false } },
      ],
      bands: [{ series: [5, 3], fill: ink.band }],
      hooks: { drawClear: [drawSpans], draw: [drawNow], setCursor: [tell] },
    }, data, place);
    plot.root.setAttribute("aria-hidden", "true");
  }

  function drawSpans(chart) {
    const pen = chart.ctx, ink = colors();
    pen.save();
    pen.globalAlpha = 0.13;
    pen.fillStyle = ink.bad;
    for (const { from, to } of marks) {
      const left = Math.max(chart.valToPos(from, "x", true), chart.bbox.left);
      const right = Math.min(chart.valToPos(to, "x", true), chart.bbox.left + chart.bbox.width);
      if (right > left) pen.fillRect(left, chart.bbox.top, Math.max(right - left, 2), chart.bbox.height);
    }
    pen.restore();
  }

  function drawNow(chart) {
    const origin = series?.time[series.time.length - 1];
    if (origin === undefined) return;
    const x = Math.round(chart.valToPos(origin, "x", true)) + 0.5;
    const pen = chart.ctx;
    pen.save();
    pen.strokeStyle = colors().muted;
    pen.setLineDash([2, 4]);
    pen.beginPath();
    pen.moveTo(x, chart.bbox.top);
    pen.lineTo(x, chart.bbox.top + chart.bbox.height);
    pen.stroke();
    pen.restore();
  }

  function tell(chart) {
    const index = chart.cursor.idx;
    if (index === null || index === undefined) { readout(""); return; }
    const [time, observed, , lower, value, upper] = chart.data.map((column) => column[index]);
    const unit = series.last?.unit;
    const parts = [clock(new Date(time * 1000))];
    if (observed !== null && observed !== undefined) parts.push(`reading ${quantity(observed, unit)}`);
    if (value !== null && value !== undefined) parts.push(`forecast ${quantity(value, unit)}, band ${range(lower, upper)}`);
    readout(parts.join(" · "));
  }

  const observer = new ResizeObserver(() => {
    if (plot && place.clientWidth) plot.setSize({ width: place.clientWidth, height: place.clientHeight });
  });
  observer.observe(place);

  return {
    /** Show a stream's series and the spans of its alerts. */
    set(next, spans) {
      const isOther = !series || series.name !== next.name;
      series = next;
      marks = spans;
      const data = columnsOf(series);
      const kept = keepAhead(data, series);
      if (isOther || !plot) build(kept); else plot.setData(kept);
    },
    /** Draw with the colours of another theme. */
    repaint() {
      if (series) build(keepAhead(columnsOf(series), series));
    },
    close() {
      observer.disconnect();
      plot?.destroy();
    },
  };
}

/** Leave out leads beyond what leaves the readings half of the width, once there are some. */
function keepAhead(data, series) {
  const read = series.time.length;
  if (read < 8) return data;
  const begin = data[0][0], origin = series.time[read - 1];
  const end = origin + (origin - begin) * (MAX_AHEAD / (1 - MAX_AHEAD));
  const stop = data[0].findIndex((time) => time > Math.max(end, origin + (series.last?.period_s ?? 0) * 1.01));
  return stop < 0 ? data : data.map((column) => column.slice(0, stop));
}

const HOURS = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const SECONDS = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAYS = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

function timeTexts(_chart, splits, _axis, _space, step) {
  return splits.map((split) => {
    const date = new Date(split * 1000);
    const isMidnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
    if (step >= 86400 || isMidnight) return DAYS.format(date);
    return (step < 60 ? SECONDS : HOURS).format(date);
  });
}
