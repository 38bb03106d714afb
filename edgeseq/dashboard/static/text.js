// Texts and elements. Whatever came over the wire becomes text by textContent, never markup.

export const $ = (id) => document.getElementById(id);

/** Make an element: make("p", {className: "note"}, "text", child …). */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set a text where it differs, so that nothing is laid out again for nothing. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const GROUPED = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** Write a value with four significant digits, or all before the point. */
export function number(value) {
  if (!isNumber(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1000 && size < 1e7) return GROUPED.format(value).replace("-", "−");
  return String(Number(value.toPrecision(4))).replace("-", "−");
}

export const count = (value) => (isNumber(value) ? GROUPED.format(value) : "–");
export const quantity = (value, unit) => (isNumber(value) && unit ? `${number(value)} ${unit}` : number(value));
export const range = (lower, upper) => (isNumber(lower) && isNumber(upper) ? `${number(lower)} … ${number(upper)}` : "–");

export function percent(value, signed = false) {
  if (!isNumber(value)) return "–";
  const size = Math.abs(value);
  // Not quite all is not "100 %".
  const isNear = size < 0.1 || (size > 0.985 && size < 1);
  const text = `${(isNear ? Math.floor(size * 1000) / 10 : Math.round(size * 100)).toFixed(isNear ? 1 : 0)} %`;
  return value < 0 ? `−${text}` : signed ? `+${text}` : text;
}

export function bytes(value) {
  return isNumber(value) ? `${GROUPED.format(value / 2 ** 20)} MB` : "–";
}

export function span(seconds) {
  if (!isNumber(seconds)) return "–";
  const units = [[86400, "d"], [3600, "h"], [60, "min"]];
  for (const [size, name] of units) {
    if (seconds < size) continue;
    const rest = Math.floor((seconds % size) / (size === 86400 ? 3600 : size === 3600 ? 60 : 1));
    const small = { d: "h", h: "min", min: "s" }[name];
    return `${Math.floor(seconds / size)} ${name}${rest ? ` ${rest} ${small}` : ""}`;
  }
  return `${number(seconds)} s`;
}

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** Write a time of this browser's zone: of today without the day. */
export function clock(when) {
  const date = when instanceof Date ? when : new Date(when);
  if (Number.isNaN(date.getTime())) return "–";
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? TIME.format(date) : `${DAY.format(date)} ${TIME.format(date)}`;
}

/** Lay items out as children, keeping the elements (and the focus) of those that stay. */
export function keyed(parent, items, key, create, update) {
  const kept = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let before = null;
  for (const item of items) {
    const name = String(key(item));
    const element = kept.get(name) ?? create(item);
    kept.delete(name);
    element.dataset.key = name;
    update(element, item);
    const place = before ? before.nextSibling : parent.firstChild;
    if (place !== element) parent.insertBefore(element, place);
    before = element;
  }
  for (const element of kept.values()) element.remove();
}

/** Lay facts out as a description list: [term, value, note, tone] …. */
export function facts(list, entries) {
  keyed(
    list, entries, ([term]) => term,
    () => make("div", {}, make("dt"), make("dd"), make("p")),
    (element, [term, value, note = "", tone = ""]) => {
      const [dt, dd, p] = element.children;
      say(dt, term);
      say(dd, value);
      say(p, note);
      p.hidden = !note;
      element.className = tone;
    },
  );
}
