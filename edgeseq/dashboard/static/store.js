// What the page knows of the node: frames of changes are applied here.

export const TAIL = 32;

export const store = {
  /** number → {number, stream, channel, name, tail, …columns of a frame} */
  rows: new Map(),
  names: new Map(),
  alerts: { count: 0, alerts: [] },
  /** alert id → newest event that was heard */
  heard: new Map(),
  info: {}, health: {}, state: {},
  node: "", linked: false, hidden: 0, unreadable: 0,
  /** counts changes of which streams there are, and of how they fare: a list is only sorted anew then */
  order: 0,
  /** whether there was a frame yet: what happened before is no news */
  isTold: false,
};

const STATES = ["phase", "data", "alert", "available", "source"];

/** Apply a frame; tells which rows changed and which alert events are new. */
export function apply(frame) {
  const isFirst = !store.isTold;
  store.isTold = true;
  if (frame.whole) {
    store.rows.clear();
    store.names.clear();
    store.order += 1;
  }
  for (const { number, stream, channel, tail } of frame.new) {
    const name = channel === null ? stream : `${stream}/${channel}`;
    const row = { number, stream, channel, name, tail, fresh: true };
    store.rows.set(number, row);
    store.names.set(name, row);
    store.order += 1;
  }
  const changed = applyColumns(frame);
  const news = [];
  for (const event of frame.heard) {
    if (!isFirst && !isSame(store.heard.get(event.id), event)) news.push(event);
    store.heard.set(event.id, event);
  }
  if (frame.alerts) store.order += 1;
  for (const name of ["alerts", "info", "health", "state", "node", "linked", "hidden", "unreadable"]) {
    if (name in frame) store[name] = frame[name];
  }
  return { changed, news };
}

const isSame = (one, other) => one && one.seq === other.seq && one.event_type === other.event_type;

function applyColumns(frame) {
  const columns = frame.rows;
  const names = Object.keys(columns);
  const changed = new Set();
  columns.number.forEach((number, index) => {
    const row = store.rows.get(number);
    if (!row) return;
    const before = STATES.map((name) => row[name]).join();
    const time = row.time;
    for (const name of names) row[name] = columns[name][index];
    keepTail(row, time);
    // Several readings since the last frame: one of them alone would be drawn as a jump.
    if (frame.tails[number]) row.tail = frame.tails[number];
    if (STATES.map((name) => row[name]).join() !== before) store.order += 1;
    changed.add(number);
  });
  return changed;
}

function keepTail(row, timeBefore) {
  if (row.fresh) {
    row.fresh = false;
    return;
  }
  if (row.time === timeBefore) row.tail.pop();
  row.tail.push(row.observed);
  if (row.tail.length > TAIL) row.tail.shift();
}

/** Open alerts of a row. */
export function openOf(row) {
  return store.alerts.alerts.filter(
    (alert) => alert.stream === row.stream && (alert.channel === null || row.channel === null || alert.channel === row.channel),
  );
}

/** Name how a row fares: [word, tone, mark]; the mark tells it without colour. */
export function stateOf(row, alerting) {
  const alert = alerting.get(row.stream);
  if (alert && (alert.channels.has(row.channel) || alert.channels.has(null))) return [alert.kinds.join(", "), "bad", "▲"];
  if (row.alert === "alert" && row.channel === null) return ["alert", "bad", "▲"];
  if (row.data && row.data !== "ok") return [row.data, row.data === "off" ? "dim" : "warn", "◆"];
  if (row.alert === "watch") return ["watch", "warn", "△"];
  if (row.phase === "learning") return ["learning", "learn", "○"];
  return row.data ? ["ok", "good", "●"] : ["–", "dim", "·"];
}

/** Sum up open, unmuted alerts: stream → channels and kinds. */
export function alertingStreams() {
  const found = new Map();
  for (const alert of store.alerts.alerts) {
    if (alert.muted) continue;
    if (!found.has(alert.stream)) found.set(alert.stream, { channels: new Set(), kinds: [] });
    const one = found.get(alert.stream);
    one.channels.add(alert.channel);
    const kind = words(alert.kind);
    if (!one.kinds.includes(kind)) one.kinds.push(kind);
  }
  return found;
}

export const words = (kind) => String(kind).replaceAll("_", " ");
