// The list of streams: only rows in sight exist as elements, whatever the number of streams.

import { $, make, number, quantity, range, say } from "./text.js";
import { alertingStreams, stateOf, store } from "./store.js";
import { drawSpark } from "./spark.js";

const ROW_PX = 60;
const AHEAD = 4;
const FILTERS = [
  ["all", "All", () => true],
  ["alert", "Alerts", (tone) => tone === "bad"],
  ["warn", "Data", (tone) => tone === "warn"],
  ["learn", "Learning", (tone) => tone === "learn"],
];
const RANK = { bad: 0, warn: 1, learn: 2, good: 2, dim: 2 };

const list = { shown: [], order: -1, key: "", filter: "all", selected: null, pool: new Map(), alerting: new Map(), counts: {} };
let onSelect = () => {};

/** Set the list up; `select` is told the name of a row. */
export function setUpStreams(select) {
  onSelect = select;
  for (const [name, title] of FILTERS) {
    const chip = make("button", { type: "button", className: "chip" }, make("span", {}, title), make("span", { className: "count" }));
    chip.dataset.filter = name;
    chip.setAttribute("aria-pressed", String(name === list.filter));
    chip.addEventListener("click", () => choose(name));
    $("filters").append(chip);
  }
  $("search").addEventListener("input", () => drawStreams(null));
  $("list").addEventListener("scroll", () => requestAnimationFrame(() => drawStreams(new Set())), { passive: true });
  new ResizeObserver(() => drawStreams(new Set())).observe($("list"));
  $("list").addEventListener("keydown", onKey);
}

function choose(name) {
  list.filter = name;
  for (const chip of $("filters").children) chip.setAttribute("aria-pressed", String(chip.dataset.filter === name));
  drawStreams(null);
}

function onKey(event) {
  const page = Math.max(1, Math.floor($("list").clientHeight / ROW_PX) - 1);
  const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
  if (event.key === "Enter" && list.selected) onSelect(list.selected, true);
  if (step === undefined) return;
  event.preventDefault();
  move(step);
}

/** Select the row so many places further. */
export function move(step) {
  if (!list.shown.length) return;
  const at = list.shown.findIndex((row) => row.name === list.selected);
  const next = Math.min(Math.max((at < 0 ? (step > 0 ? -1 : 0) : at) + step, 0), list.shown.length - 1);
  pick(list.shown[next].name, false);
  const top = next * ROW_PX;
  const box = $("list");
  if (top < box.scrollTop) box.scrollTop = top;
  if (top + ROW_PX > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW_PX - box.clientHeight;
  drawStreams(new Set());
}

function pick(name, isOpening) {
  list.selected = name;
  onSelect(name, isOpening);
}

/** Mark a row as selected without telling anybody. */
export function markSelected(name) {
  list.selected = name;
}

export const firstShown = () => list.shown[0]?.name ?? null;

/** Draw what is in sight; `changed` are numbers of rows, null draws all. */
export function drawStreams(changed) {
  const key = `${list.filter} ${$("search").value.trim().toLowerCase()}`;
  const isSorted = list.order === store.order && list.key === key;
  if (!isSorted) {
    sort();
    list.order = store.order;
    list.key = key;
  }
  const box = $("list");
  const first = Math.max(0, Math.floor(box.scrollTop / ROW_PX) - AHEAD);
  const last = Math.min(list.shown.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW_PX) + AHEAD);
  const inSight = new Map();
  for (let place = first; place < last; place++) inSight.set(list.shown[place].number, place);
  recycle(inSight);
  for (const [rowNumber, place] of inSight) {
    const element = list.pool.get(rowNumber);
    setPlace(element, place);
    if (element.isNew || !isSorted || changed === null || changed.has(rowNumber)) fill(element, store.rows.get(rowNumber));
    element.isNew = false;
  }
  const chosen = store.names.get(list.selected);
  if (chosen && inSight.has(chosen.number)) box.setAttribute("aria-activedescendant", `row-${chosen.number}`);
  else box.removeAttribute("aria-activedescendant");
  for (const element of list.pool.values()) element.setAttribute("aria-selected", String(element.name === list.selected));
}

function sort() {
  const wanted = $("search").value.trim().toLowerCase();
  const test = FILTERS.find(([name]) => name === list.filter)[2];
  list.alerting = alertingStreams();
  list.counts = { all: 0, bad: 0, warn: 0, learn: 0, good: 0, dim: 0 };
  const kept = [];
  for (const row of store.rows.values()) {
    [row.word, row.tone, row.mark] = stateOf(row, list.alerting);
    list.counts.all += 1;
    list.counts[row.tone] += 1;
    if (test(row.tone) && (!wanted || row.name.toLowerCase().includes(wanted))) kept.push(row);
  }
  kept.sort((a, b) => RANK[a.tone] - RANK[b.tone] || (a.name < b.name ? -1 : 1));
  list.shown = kept;
  $("list-room").style.height = `${kept.length * ROW_PX}px`;
  const counted = { all: list.counts.all, alert: list.counts.bad, warn: list.counts.warn, learn: list.counts.learn };
  for (const chip of $("filters").children) say(chip.lastChild, String(counted[chip.dataset.filter]));
  const empty = $("list-empty");
  empty.hidden = kept.length > 0;
  say(empty, store.rows.size ? "No stream matches." : "No stream has said anything yet.");
  say($("count-streams"), String(store.rows.size));
}

/** Give elements that went out of sight to rows that came into it. */
function recycle(inSight) {
  const spare = [];
  for (const [rowNumber, element] of list.pool) {
    if (inSight.has(rowNumber)) continue;
    list.pool.delete(rowNumber);
    spare.push(element);
  }
  for (const rowNumber of inSight.keys()) {
    if (list.pool.has(rowNumber)) continue;
    const element = spare.pop() ?? rowElement();
    element.isNew = true;
    element.place = -1;
    element.id = `row-${rowNumber}`;
    list.pool.set(rowNumber, element);
  }
  for (const element of spare) element.remove();
}

function rowElement() {
  const element = make(
    "div", { className: "row", role: "option" },
    make("span", { className: "mark", "aria-hidden": "true" }),
    make("span", { className: "who" }, make("span", { className: "name" }), make("span", { className: "sub" })),
    make("canvas", { className: "spark", width: 1, height: 1, "aria-hidden": "true" }),
    make("span", { className: "now" }, make("span", { className: "value" }), make("span", { className: "sub" })),
  );
  element.addEventListener("click", () => {
    pick(element.name, true);
    drawStreams(new Set());
  });
  $("list-room").append(element);
  return element;
}

function setPlace(element, place) {
  if (element.place !== place) {
    element.place = place;
    element.style.transform = `translateY(${place * ROW_PX}px)`;
  }
  element.setAttribute("aria-posinset", String(place + 1));
  element.setAttribute("aria-setsize", String(list.shown.length));
}

function fill(element, row) {
  const [mark, who, canvas, now] = element.children;
  element.name = row.name;
  element.className = `row ${row.tone}`;
  say(mark, row.mark);
  say(who.firstChild, row.name);
  say(who.lastChild, [row.word === "–" ? "" : row.word, row.source].filter(Boolean).join(" · "));
  say(now.firstChild, quantity(row.observed, row.unit));
  say(now.lastChild, range(row.lower, row.upper));
  const isOutside = row.observed !== null && row.low !== null && (row.observed < row.low || row.observed > row.high);
  now.firstChild.classList.toggle("outside", isOutside);
  element.setAttribute("aria-label", `${row.name}, ${row.word}, ${quantity(row.observed, row.unit)}, next ${number(row.lower)} to ${number(row.upper)}`);
  drawSpark(canvas, row.tail, isOutside);
}
