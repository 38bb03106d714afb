// An alert as a card, with what can be done about it.

import { acknowledge, ask, notice, Refused } from "./ask.js";
import { clock, make, say } from "./text.js";
import { words } from "./store.js";

const LABELS = { real: "Real", false_alarm: "False alarm" };
/** alert id → label, as far as this page knows */
export const labels = new Map();

/** Make the element of an alert. */
export function cardOf() {
  const card = make(
    "li", { className: "card", tabIndex: -1 },
    make("div", { className: "card-head" },
      make("span", { className: "badge" }), make("a", { className: "stream" }), make("time")),
    make("p", { className: "message" }),
    make("p", { className: "note" }),
    make("div", { className: "actions" },
      make("button", { type: "button", className: "primary" }, "Acknowledge"),
      ...Object.entries(LABELS).map(([label, title]) => {
        const button = make("button", { type: "button" }, title);
        button.dataset.label = label;
        return button;
      })),
  );
  const [first, ...rest] = card.querySelectorAll("button");
  first.addEventListener("click", () => acknowledge(card.alert.id, first));
  for (const button of rest) button.addEventListener("click", () => setLabel(card, button));
  return card;
}

async function setLabel(card, button) {
  const id = card.alert.id, label = labels.get(id) === button.dataset.label ? "none" : button.dataset.label;
  button.disabled = true;
  try {
    await ask("label", { alert: id, label });
    labels.set(id, label === "none" ? null : label);
    notice(label === "none" ? "Label taken back." : `Labelled: ${LABELS[label].toLowerCase()}.`);
    fillCard(card, card.alert);
  } catch (fault) {
    if (!(fault instanceof Refused)) throw fault;
    notice(fault.message, true);
  } finally {
    button.disabled = false;
  }
}

/** Write an alert into its element: of the open list, or the newest event of one. */
export function fillCard(card, alert) {
  const [head, message, note, actions] = card.children;
  const [badge, stream, time] = head.children;
  const isOpen = !alert.cleared;
  const name = alert.channel ? `${alert.stream}/${alert.channel}` : alert.stream;
  card.alert = alert;
  card.className = `card ${isOpen ? alert.severity : "past"}`;
  say(badge, `${isOpen ? "▲" : "✓"} ${words(alert.kind)}`);
  badge.className = `badge ${!isOpen ? "dim" : alert.severity === "info" ? "learn" : alert.severity === "warning" ? "warn" : "bad"}`;
  say(stream, name);
  stream.href = `#stream=${encodeURIComponent(name)}`;
  say(time, alert.cleared ? `${clock(alert.opened)} – ${clock(alert.cleared)}` : `since ${clock(alert.opened)}`);
  time.dateTime = alert.opened ?? "";
  say(message, alert.message);
  const known = alert.acknowledged;
  const marks = [
    isOpen && alert.severity ? alert.severity : "",
    known ? `acknowledged${alert.acknowledged_by ? ` by ${alert.acknowledged_by}` : ""}${typeof known === "string" ? ` ${clock(known)}` : ""}` : "",
    alert.muted ? "muted" : "",
    alert.note ?? "",
  ];
  say(note, marks.filter(Boolean).join(" · "));
  const [first, ...rest] = actions.children;
  first.hidden = !isOpen || Boolean(known);
  first.setAttribute("aria-label", `Acknowledge ${words(alert.kind)} of ${name}`);
  for (const button of rest) {
    const isChosen = labels.get(alert.id) === button.dataset.label;
    button.setAttribute("aria-pressed", String(isChosen));
    button.setAttribute("aria-label", `${LABELS[button.dataset.label]}: ${words(alert.kind)} of ${name}`);
  }
}
