// One stream: its numbers, its chart, its alerts.

import { $, clock, facts, keyed, make, number, percent, quantity, range, say, span } from "./text.js";
import { alertingStreams, openOf, stateOf, store, words } from "./store.js";
import { makeChart } from "./chart.js";
import { cardOf, fillCard } from "./cards.js";

const LEAD = 4; // facts above the chart
const shown = { name: null, chart: null, isAsking: false, isStale: false, series: null };
let parts = null;

/** Set the panel up; `back` leaves it on a narrow screen. */
export function setUpDetail(back) {
  parts = {
    back: make("button", { type: "button", className: "quiet back", "aria-label": "Back to the list" }, "‹ Streams"),
    name: make("h3", { id: "detail-name", tabIndex: -1 }),
    state: make("span", { className: "badge" }),
    lead: make("dl", { className: "facts lead" }),
    facts: make("dl", { className: "facts" }),
    figure: make("div", { className: "chart", role: "img" }),
    readout: make("p", { className: "readout", "aria-hidden": "true" }),
    alerts: make("ul", { className: "cards" }),
  };
  parts.back.addEventListener("click", back);
  const key = make("p", { className: "key", "aria-hidden": "true" },
    make("span", { className: "k-reading" }, "reading"), make("span", { className: "k-band" }, "forecast band"),
    make("span", { className: "k-value" }, "forecast"), make("span", { className: "k-outside" }, "outside"));
  const head = make("div", { className: "detail-head" }, parts.back, parts.name, parts.state);
  parts.body = make("div", { className: "detail-body" }, head, parts.lead, parts.figure, make("div", { className: "under" }, key, parts.readout), parts.alerts, parts.facts);
  parts.none = make("p", { className: "empty" }, "Choose a stream.");
  $("detail").append(parts.none, parts.body);
  parts.body.hidden = true;
}

/** Show a stream by its name. */
export function showDetail(name) {
  if (shown.name === name) return;
  Object.assign(shown, { name, series: null, isStale: false });
  shown.chart?.close();
  shown.chart = null;
  drawDetail();
  refresh();
}

export const detailName = () => shown.name;

/** Draw numbers anew, and ask for the series where the stream has moved. */
export function drawDetail(changed) {
  const row = store.names.get(shown.name);
  parts.body.hidden = !row;
  parts.none.hidden = Boolean(row);
  if (!row) return;
  const [word, tone, mark] = stateOf(row, alertingStreams());
  say(parts.name, row.name);
  say(parts.state, `${mark} ${word}`);
  parts.state.className = `badge ${tone}`;
  drawFacts(row);
  keyed(parts.alerts, openOf(row), (alert) => alert.id, cardOf, fillCard);
  parts.figure.setAttribute("aria-label", `Chart of ${row.name}: ${quantity(row.observed, row.unit)} now, next between ${number(row.lower)} and ${number(row.upper)}`);
  if (changed?.has(row.number)) refresh();
}

function drawFacts(row) {
  const told = factsOf(row);
  facts(parts.lead, told.slice(0, LEAD));
  facts(parts.facts, told.slice(LEAD));
}

function factsOf(row) {
  const isOutside = row.observed !== null && row.low !== null && (row.observed < row.low || row.observed > row.high);
  const inside = row.low === null ? "" : isOutside ? `outside ${range(row.low, row.high)}` : `within ${range(row.low, row.high)}`;
  const held = row.judged ? row.inside / row.judged : null;
  const told = [
    ["Now", quantity(row.observed, row.unit), inside, isOutside ? "bad" : ""],
    ["Next", range(row.lower, row.upper), row.period_s ? `in ${span(row.period_s)}; median ${number(row.value)}` : ""],
    ["Skill", percent(row.skill, true), `of the ${row.source || "forecast"}, over the baseline`],
    ["Coverage", percent(held), `${row.judged ? `of ${row.judged} readings, ` : ""}${percent(row.coverage)} promised`],
    ["Served by", row.source || "–", row.bundle ?? ""],
  ];
  const estimate = shown.series?.estimate;
  if (estimate) {
    const isClass = estimate.state !== undefined;
    told.push([
      words(estimate.target ?? "Estimate"),
      isClass ? String(estimate.state ?? "–") : quantity(estimate.value, estimate.unit),
      isClass ? `probability ${percent(estimate.probability)}` : range(estimate.lower, estimate.upper),
    ]);
  }
  if (row.time) told.push(["Read at", clock(new Date(row.time * 1000)), row.available === false ? "sensor offline" : ""]);
  return told;
}

async function refresh() {
  if (shown.isAsking) {
    shown.isStale = true;
    return;
  }
  shown.isAsking = true;
  const name = shown.name;
  try {
    const answer = await fetch(`/api/series?name=${encodeURIComponent(name)}`);
    if (answer.ok && shown.name === name) draw(await answer.json());
  } catch {
    // The connection is told of at the top.
  } finally {
    shown.isAsking = false;
    if (shown.isStale || shown.name !== name) {
      shown.isStale = false;
      refresh();
    }
  }
}

function draw(series) {
  if (series.name !== shown.name) return;
  shown.series = series;
  if (!series.time.length) return;
  shown.chart ??= makeChart(parts.figure, (text) => say(parts.readout, text));
  shown.chart.set(series, spansOf(store.names.get(shown.name)));
  const row = store.names.get(shown.name);
  if (row) drawFacts(row);
}

/** Spans of time in which alerts of the row were open. */
function spansOf(row) {
  if (!row) return [];
  const isOurs = (alert) => alert.stream === row.stream && (!alert.channel || !row.channel || alert.channel === row.channel);
  const spans = new Map();
  for (const alert of store.alerts.alerts) if (isOurs(alert)) spans.set(alert.id, { from: Date.parse(alert.opened) / 1000, to: row.time });
  for (const event of store.heard.values()) {
    if (isOurs(event) && event.opened && event.cleared) spans.set(event.id, { from: Date.parse(event.opened) / 1000, to: Date.parse(event.cleared) / 1000 });
  }
  return [...spans.values()];
}

export const repaintChart = () => shown.chart?.repaint();
