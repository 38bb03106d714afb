// The page: which view is shown, what the keyboard does, and the frames that come in.

import { acknowledge } from "./ask.js";
import { drawAlerts, historyChanged, setUpAlerts } from "./alerts.js";
import { detailName, drawDetail, repaintChart, setUpDetail, showDetail } from "./detail.js";
import { drawHealth, drawSkill, setUpPages } from "./pages.js";
import { drawStreams, firstShown, markSelected, move, setUpStreams } from "./streams.js";
import { forgetColors } from "./spark.js";
import { $, say } from "./text.js";
import { apply, openOf, store, words } from "./store.js";

const VIEWS = ["streams", "alerts", "skill", "health"];
const RETRY_MS = 3000;
const MOST_SPOKEN = 3;
const dirty = { rows: new Set(), isAll: true, isWaiting: false };
let view = "streams";

// --- drawing: at most once a frame, and only what is shown ---

function draw() {
  dirty.isWaiting = false;
  const changed = dirty.isAll ? null : dirty.rows;
  dirty.rows = new Set();
  dirty.isAll = false;
  drawHead();
  if (view === "streams") {
    drawStreams(changed);
    if (!detailName() && isWide() && firstShown()) select(firstShown(), false);
    drawDetail(changed ?? new Set(store.rows.keys()));
  }
  if (view === "alerts") drawAlerts();
  if (view === "skill") drawSkill();
  if (view === "health") drawHealth();
}

function plan(changed) {
  if (changed) for (const number of changed) dirty.rows.add(number);
  else dirty.isAll = true;
  if (dirty.isWaiting) return;
  dirty.isWaiting = true;
  requestAnimationFrame(draw);
}

function drawHead() {
  const state = store.linked ? store.state.state ?? "waiting" : "broker lost";
  const badge = $("node-state");
  say($("node-name"), store.node.split("/").pop());
  say(badge, state);
  badge.className = `badge ${state === "online" ? "good" : "warn"}`;
  const open = store.alerts.count;
  say($("count-alerts"), open ? String(open) : "");
  say($("count-streams"), store.rows.size ? String(store.rows.size) : "");
  document.title = `${open ? `(${open}) ` : ""}${store.node.split("/").pop() || "edgeseq"} · edgeseq`;
}

// --- views ---

const isWide = () => matchMedia("(min-width: 860px)").matches;

function route() {
  const [name, stream] = location.hash.slice(1).split("=");
  view = name === "stream" ? "streams" : VIEWS.includes(name) ? name : "streams";
  for (const one of VIEWS) $(`view-${one}`).hidden = one !== view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.classList.toggle("in-detail", name === "stream");
  if (name === "stream") {
    const wanted = decode(stream ?? "");
    markSelected(wanted);
    showDetail(wanted);
  }
  plan(null);
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

function select(name, isOpening) {
  markSelected(name);
  if (isWide()) {
    history.replaceState(null, "", `#stream=${encodeURIComponent(name)}`);
    showDetail(name);
  } else if (isOpening) location.hash = `#stream=${encodeURIComponent(name)}`;
}

function back() {
  location.hash = "#streams";
  $("list").focus();
}

// --- keyboard ---

function onKey(event) {
  const isTyping = event.target.matches?.("input, textarea, select");
  if (event.key === "Escape" && !$("help").open) {
    if (isTyping) event.target.blur();
    if (document.body.classList.contains("in-detail") && !isWide()) back();
    return;
  }
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || $("help").open || !$("keys-on").checked) return;
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

const KEYS = {
  1: () => { location.hash = "#streams"; }, 2: () => { location.hash = "#alerts"; },
  3: () => { location.hash = "#skill"; }, 4: () => { location.hash = "#health"; },
  "/": () => { location.hash = "#streams"; requestAnimationFrame(() => $("search").focus()); },
  "?": () => $("help").showModal(),
  j: () => step(1), k: () => step(-1),
  a: acknowledgeFocused,
};

function step(by) {
  if (view === "streams") { move(by); return; }
  const cards = [...document.querySelectorAll(".view:not([hidden]) .card")];
  const at = cards.indexOf(document.activeElement?.closest(".card"));
  cards[Math.min(Math.max(at + by, 0), cards.length - 1)]?.focus();
}

function acknowledgeFocused() {
  const card = document.activeElement?.closest(".card");
  const row = store.names.get(detailName());
  const alert = card?.alert ?? (view === "streams" && row ? openOf(row).find((one) => !one.acknowledged) : null);
  if (alert && !alert.cleared && !alert.acknowledged) acknowledge(alert.id);
}

// --- frames ---

function speak(news) {
  const told = news.filter((event) => event.event_type === "opened" || event.event_type === "cleared");
  if (!told.length) return;
  const opened = told.filter((event) => event.event_type === "opened").length;
  $("spoken").textContent = told.length > MOST_SPOKEN
    ? `${opened} alerts opened, ${told.length - opened} cleared`
    : told.map((event) => event.message || `${words(event.kind)} ${event.event_type}`).join(". ");
  historyChanged();
}

function listen() {
  const source = new EventSource("/events");
  source.onmessage = (message) => {
    const frame = JSON.parse(message.data);
    const { changed, news } = apply(frame);
    speak(news);
    plan(frame.whole || frame.alerts ? null : changed);
  };
  source.onerror = async () => {
    store.linked = false;
    say($("node-state"), "connection lost");
    $("node-state").className = "badge warn";
    if (source.readyState !== EventSource.CLOSED) return; // it tries again by itself
    const answer = await fetch("/api/series?name=").catch(() => null);
    if (answer?.status === 401) location.assign("/login");
    else setTimeout(listen, RETRY_MS);
  };
}

setUpStreams(select);
setUpDetail(back);
setUpAlerts();
setUpPages();
addEventListener("hashchange", route);
addEventListener("keydown", onKey);
$("help-open").addEventListener("click", () => $("help").showModal());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  forgetColors();
  repaintChart();
  plan(null);
});
route();
listen();
