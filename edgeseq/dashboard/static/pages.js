// The views of skill and coverage, and of the node.

import { $, bytes, count, facts, keyed, make, number, percent, say, span } from "./text.js";
import { store, words } from "./store.js";

const MAX_LINES = 200;
const sorting = { by: "held", isUp: true };

/** Let titles of columns sort. */
export function setUpPages() {
  for (const button of document.querySelectorAll("#skill-streams [data-sort]")) {
    button.addEventListener("click", () => {
      sorting.isUp = sorting.by === button.dataset.sort ? !sorting.isUp : true;
      sorting.by = button.dataset.sort;
      drawSkill();
    });
  }
}

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.floor(sorted.length / 2)] : null;
};

const lines = (body, rows, key) => keyed(
  body, rows, key,
  (cells) => make("tr", {}, ...cells.map((cell, index) => make(index ? "td" : "th", index ? {} : { scope: "row" }))),
  (line, cells) => cells.forEach((cell, index) => {
    const [text, tone] = Array.isArray(cell) ? cell : [cell, ""];
    say(line.children[index], text);
    line.children[index].className = tone;
  }),
);

/** How good forecasts are, and whether their intervals hold what they promise. */
export function drawSkill() {
  const rows = [...store.rows.values()].filter((row) => row.time);
  const judged = rows.reduce((sum, row) => sum + row.judged, 0), inside = rows.reduce((sum, row) => sum + row.inside, 0);
  const models = rows.filter((row) => row.source === "model");
  const skill = median(models.map((row) => row.skill).filter((value) => value !== null));
  const promised = median(rows.map((row) => row.coverage).filter((value) => value !== null));
  facts($("skill-facts"), [
    ["Served by a model", count(models.length), `of ${count(rows.length)} streams; the others by the baseline`],
    ["Skill of the models", percent(skill, true), "median, over the baseline"],
    ["Coverage", judged ? percent(inside / judged) : "–", judged ? `of ${count(judged)} readings here` : "no reading judged yet"],
    ["Promised", percent(promised), "share of readings inside the band"],
  ]);
  drawTables();
  const value = {
    name: (row) => row.name, source: (row) => row.source ?? "", skill: (row) => row.skill,
    held: (row) => (row.judged ? row.inside / row.judged : null), judged: (row) => row.judged,
  }[sorting.by];
  const side = sorting.isUp ? 1 : -1;
  const sorted = rows.map((row) => [value(row), row]).sort(([a, x], [b, y]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return a === b ? (x.name < y.name ? -1 : 1) : (a < b ? -1 : 1) * side;
  });
  for (const button of document.querySelectorAll("#skill-streams [data-sort]")) {
    const isBy = button.dataset.sort === sorting.by;
    button.closest("th").setAttribute("aria-sort", isBy ? (sorting.isUp ? "ascending" : "descending") : "none");
  }
  lines($("skill-streams").tBodies[0], sorted.slice(0, MAX_LINES).map(([, row]) => [
    row.name, row.source || "–",
    [percent(row.skill, true), row.skill < 0 ? "number bad" : "number"],
    [row.judged ? percent(row.inside / row.judged) : "–", "number"],
    [percent(row.coverage), "number"], [count(row.judged), "number"],
  ]), ([name]) => name);
  const rest = $("skill-rest");
  rest.hidden = sorted.length <= MAX_LINES;
  say(rest, `… and ${count(sorted.length - MAX_LINES)} more; sort to see others.`);
}

/** What the node itself says its intervals have held, table by table. */
function drawTables() {
  const told = Array.isArray(store.health.intervals) ? store.health.intervals : [];
  keyed(
    $("skill-tables"), told, (one) => one.table,
    () => make("div", { className: "meter-line" }, make("span"), make("span", { className: "meter" }, make("i"), make("b")), make("span")),
    (line, one) => {
      const [name, meter, text] = line.children;
      say(name, String(one.table));
      meter.children[0].style.width = `${100 * Math.min(Math.max(one.coverage ?? 0, 0), 1)}%`;
      meter.children[1].style.left = `${100 * Math.min(Math.max(one.promised ?? 0, 0), 1)}%`;
      say(text, `${percent(one.coverage)} held of late, ${percent(one.promised)} promised · ${count(one.outcomes)} readings`);
    },
  );
}

/** What runs on the node, and how it fares. */
export function drawHealth() {
  const { health, info } = store;
  const rejected = Object.entries(health.rejected ?? {});
  facts($("health-facts"), [
    ["State", store.state.state ?? "–", "", store.state.state === "online" ? "good" : "warn"],
    ["Version", String(info.version ?? "–"), String(info.node ?? "")],
    ["Up", span(health.uptime_s), ""],
    ["Streams", count(health.streams), `${count(health.open_alerts)} open alerts`],
    ["Memory", bytes(health.rss_bytes), "resident"],
    ["Waiting", count(health.inbox_messages), "messages"],
  ]);
  const rates = new Map((health.alert_rates ?? []).map((rate) => [rate.table, rate]));
  lines($("health-models").tBodies[0], (info.rules ?? []).map((rule) => [
    String(rule.key), rule.bundle ?? "the baseline", span(rule.period_s), (rule.channels ?? []).join(", ") || "–",
    [number(rates.get(rule.key)?.per_week), "number"], [number(rates.get(rule.key)?.budget), "number"],
  ]), ([name]) => name);
  facts($("health-account"), [
    ["Received", count(health.received)], ["Applied", count(health.applied)], ["Late", count(health.late)],
    ["Duplicate", count(health.duplicate)],
    ["Rejected", count(rejected.reduce((sum, [, times]) => sum + times, 0)), rejected.map(([why, times]) => `${words(why)} ${count(times)}`).join(", ")],
    ["Shed", count(health.shed)],
  ]);
  const faults = [
    ["Storage faults", health.storage_faults], ["Sessions lost", health.sessions_lost], ["Alerts dropped", health.alerts_dropped],
    ["Ledger faults", health.ledger_faults], ["History lost", health.history_lost],
    ["Unreadable here", store.unreadable], ["Not shown here", store.hidden],
  ];
  facts($("health-faults"), faults.map(([name, times]) => [name, count(times), "", times > 0 ? "warn" : ""]));
}
