// The small line of a row: its last readings.

let inks = null;

/** Forget colours: the theme has changed. */
export function forgetColors() {
  inks = null;
}

/** Give the page's colours by name. */
export function colors() {
  if (inks) return inks;
  const style = getComputedStyle(document.documentElement);
  const names = ["accent", "band", "bad", "muted", "line", "text", "warn", "surface", "ahead"];
  inks = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  return inks;
}

/** Draw readings as a line; gaps stay open, the last one is a dot. */
export function drawSpark(canvas, tail, isOutside) {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width) return;
  if (canvas.width !== Math.round(width * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const known = tail.filter((value) => value !== null);
  if (!known.length) return;
  const low = Math.min(...known), high = Math.max(...known);
  const step = (width - 8) / 31;
  const x = (index) => 4 + (index + 32 - tail.length) * step;
  const y = (value) => (high > low ? 4 + (height - 8) * (1 - (value / 2 - low / 2) / (high / 2 - low / 2)) : height / 2);
  pen.beginPath();
  let isDown = false;
  tail.forEach((value, index) => {
    if (value === null) { isDown = false; return; }
    if (isDown) pen.lineTo(x(index), y(value)); else pen.moveTo(x(index), y(value));
    isDown = true;
  });
  const ink = colors();
  pen.strokeStyle = ink.accent;
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  pen.stroke();
  const last = tail[tail.length - 1];
  if (last === null) return;
  pen.beginPath();
  pen.arc(x(tail.length - 1), y(last), isOutside ? 3.2 : 2.2, 0, 7);
  pen.fillStyle = isOutside ? ink.bad : ink.accent;
  pen.fill();
}
