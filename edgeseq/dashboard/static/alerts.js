// The view of alerts: those that are open as the node lists them, earlier ones from its history.

import { ask, Refused } from "./ask.js";
import { $, keyed, say } from "./text.js";
import { cardOf, fillCard, labels } from "./cards.js";
import { store } from "./store.js";

const PAGE = 50;
const MAX_PAST = 300;
const history = { events: new Map(), next: null, isAsked: false, isRefused: false, timer: null };

/** Set the view up. */
export function setUpAlerts() {
  $("history-more").addEventListener("click", () => load(history.next));
  const who = $("who");
  try {
    who.value = localStorage.getItem("edgeseq-who") ?? "";
    who.addEventListener("change", () => localStorage.setItem("edgeseq-who", who.value.trim()));
  } catch {
    // A browser that keeps nothing asks again.
  }
}

/** Draw both lists, and ask for the history at first. */
export function drawAlerts() {
  if (!history.isAsked) load(null);
  const open = store.alerts.alerts;
  keyed($("alerts-open"), open, (alert) => alert.id, cardOf, fillCard);
  $("alerts-open-empty").hidden = open.length > 0;
  say($("alerts-open-count"), store.alerts.count ? String(store.alerts.count) : "");
  const isOpen = new Set(open.map((alert) => alert.id));
  const past = new Map();
  for (const event of store.heard.values()) if (event.cleared) past.set(event.id, event);
  for (const event of history.events.values()) if (!isOpen.has(event.id)) past.set(event.id, event);
  const newest = [...past.values()].sort((a, b) => (a.opened < b.opened ? 1 : -1)).slice(0, MAX_PAST);
  keyed($("alerts-past"), newest, (alert) => alert.id, cardOf, fillCard);
  $("history-more").hidden = history.next === null || past.size >= MAX_PAST;
  const note = $("history-note");
  note.hidden = !history.isRefused && newest.length > 0;
  if (!history.isRefused) say(note, history.isAsked && !history.isLoading ? "None." : "Asking the node …");
}

/** Ask for the history again, soon: an alert has opened or ended. */
export function historyChanged() {
  if (!history.isAsked || history.timer) return;
  history.timer = setTimeout(() => { history.timer = null; load(null); }, 2000);
}

async function load(start) {
  history.isAsked = history.isLoading = true;
  try {
    const page = await ask("alerts", start === null ? { limit: PAGE } : { start, limit: PAGE });
    history.isRefused = false;
    for (const entry of page.alerts) take(entry);
    if (start !== null || history.next === null) history.next = page.next;
  } catch (fault) {
    if (!(fault instanceof Refused)) throw fault;
    history.isRefused = true;
    say($("history-note"), `The history is not to be had: ${fault.message}. Shown is what was heard since this dashboard began.`);
  } finally {
    history.isLoading = false;
  }
  if (!$("view-alerts").hidden) drawAlerts();
}

/** Keep the newest event of each alert. */
function take(entry) {
  const known = history.events.get(entry.alert.id);
  labels.set(entry.alert.id, entry.label);
  if (known && known.number > entry.number) return;
  const { acknowledged, acknowledged_by, muted, note, number } = entry;
  history.events.set(entry.alert.id, { ...entry.alert, acknowledged, acknowledged_by, muted, note, number });
}
