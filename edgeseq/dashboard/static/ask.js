// Requests to the node, and who makes them.

import { $ } from "./text.js";

export class Refused extends Error {}

/** Ask the node by way of the dashboard. Throws Refused with what is to be told. */
export async function ask(verb, asked) {
  const by = $("who").value.trim();
  let answer;
  try {
    answer = await fetch(`/api/${verb}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(by ? { ...asked, by } : asked),
    });
  } catch {
    throw new Refused("The dashboard does not answer.");
  }
  if (answer.status === 401) location.assign("/login");
  const told = await answer.json().catch(() => ({ error: `answer ${answer.status}` }));
  if (!answer.ok) throw new Refused([told.error, told.do].filter(Boolean).join("; "));
  return told;
}

let timer;

/** Say something for a while, to eyes and to screen readers. */
export function notice(text, isBad = false) {
  const place = $("notice");
  place.textContent = text;
  place.classList.toggle("bad", isBad);
  place.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => { place.hidden = true; }, isBad ? 12000 : 5000);
}

/** Acknowledge an alert, and say how that went. */
export async function acknowledge(id, button) {
  if (button) button.disabled = true;
  try {
    await ask("acknowledge", { alert: id });
    notice("Acknowledged.");
  } catch (fault) {
    if (!(fault instanceof Refused)) throw fault;
    notice(fault.message, true);
  } finally {
    if (button) button.disabled = false;
  }
}
