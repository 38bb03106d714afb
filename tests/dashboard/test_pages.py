"""The dashboard in a real Chromium: every view, what a person does, many streams.

Pictures of all views are left in build/dashboard/ to be looked at.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import node_told as told
from tests.support.broker import Broker, Peer, peer, wait_until
from tests.support.browser import Browser
from tests.support.dashboard import PICTURES, VIEWS, dashboard, go, no_history, publish_house
from tests.support.node import node_in

pytestmark = pytest.mark.system


MANY = 1000
SECONDS = 4


def request_of(user: Peer, verb: str) -> dict[str, Any]:
    """Wait until the node was asked this, and give what."""
    topic = f"{told.ROOT}/bridge/request/{verb}"
    wait_until(lambda: user.texts(topic), f"asked to {verb}")
    found: dict[str, Any] = json.loads(user.texts(topic)[-1])
    return found


CONTRAST = """
(() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return { rgb: n.slice(0, 3), a: n[3] ?? 1 } };
  const linear = (v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = (rgb) => { const [r, g, b] = rgb.map(v => linear(v / 255)); return .2126 * r + .7152 * g + .0722 * b };
  const low = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement, box = element.getBoundingClientRect();
    const isUnseen = !box.width || element.closest('.unseen, .skip, dialog, :disabled');
    if (isUnseen || !walk.currentNode.textContent.trim()) continue;
    let ground = element;
    while (ground && parse(getComputedStyle(ground).backgroundColor).a < 1) ground = ground.parentElement;
    const one = light(parse(getComputedStyle(element).color).rgb);
    const other = light(parse(getComputedStyle(ground ?? document.body).backgroundColor).rgb);
    const ratio = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
    if (ratio < 4.5) low.push(`${element.className}: ${walk.currentNode.textContent} ${ratio.toFixed(2)}`);
  }
  return low;
})()
"""
"""Texts whose contrast is below 4.5:1 (WCAG 2.2, 1.4.3)."""

NAMELESS = """
[...document.querySelectorAll('button, input, a, [role=listbox], [role=img], dialog, nav, select')].filter(e =>
  !e.getAttribute('aria-label') && !e.getAttribute('aria-labelledby') && !e.labels?.length && !e.textContent.trim())
  .map(e => e.outerHTML)
"""


def test_every_view_shows_what_was_told_at_any_size_and_theme(
    broker: Broker, browser: Browser, user: Peer
) -> None:
    """All four views and a stream, wide and narrow, light and dark: right, readable, nothing fetched from elsewhere."""
    with (
        peer(broker.port, f"{told.ROOT}/#"),
        dashboard(broker) as port,
    ):  # a peer holds what is told to the schemas
        page = browser.page()
        page.look(1280, 800)
        page.open(f"http://127.0.0.1:{port}/")
        past, hot = publish_house(user)
        page.wait("document.querySelector('#count-streams').textContent === '10'")
        page.wait("[...document.querySelectorAll('.row')].some(r => r.textContent.includes('14.9 °C'))")
        page.wait("document.querySelector('.chart canvas')?.width > 300")
        for text in ("cellar-temperature", "▲ spike", "14.9 °C", "of 150 readings, 90 % promised"):
            page.wait(f"document.querySelector('#detail').innerText.includes({json.dumps(text)})")
        assert "▲ silent" not in page.text("#detail")
        for text in ("mismatch · model", "learning · baseline", "silent · model", "ok · model"):
            assert text in page.text("#list")
        go(page, "alerts")
        answer = request_of(user, "alerts")
        user.publish(*told.history(answer, past, hot))
        page.wait("document.querySelector('#alerts-past [aria-pressed=true]')")
        assert page.run("document.querySelectorAll('#alerts-past .card').length") == 1
        assert page.run("document.querySelectorAll('#alerts-open .card').length") == 2
        assert page.text("#alerts-past [aria-pressed=true]") == "False alarm"
        go(page, "skill")
        for text in (
            "8\n",
            "of 10 streams",
            "90 %",
            "house",
            "91 % held of late",
            "−3.0 %",
            "pump1/vibration",
        ):
            assert text in page.text("#view-skill")
        go(page, "health")
        for text in ("online", "9 d 1 h", "house@3fa9c2", "the baseline", "1,204,331", "no field 17", "0.8"):
            assert text in page.text("#view-health")
        for width, height in ((1280, 800), (400, 820)):
            for dark in (False, True):
                page.look(width, height, dark=dark)
                for view in (*VIEWS, "stream=cellar-temperature"):
                    go(page, view)
                    name = f"{view.partition('=')[0]}-{width}-{'dark' if dark else 'light'}.png"
                    page.picture(PICTURES / name)
                    assert page.run("document.documentElement.scrollWidth") <= width, name
                    assert page.run(CONTRAST) == [], name
        assert page.run(NAMELESS) == []
        assert page.faults == []
        assert {address.split("/")[2] for address in page.requested} == {f"127.0.0.1:{port}"}


LIMITED = """
[[streams]]
topic = "t/+"
field = "v"
time = "time"
every = "10s"
limits = { max = 9 }
silent_after = "90d"
"""


def test_person_acknowledges_and_labels_an_alert_of_a_real_node(
    broker: Broker, browser: Browser, tmp_path: Path
) -> None:
    """A click on Acknowledge reaches the node, which tells everybody; so does a label, and the page says both."""
    with (
        node_in(tmp_path, broker.port, LIMITED, node='requests = true\nclock = "readings"') as node,
        peer(broker.port, "edgeseq/n/#") as sensor,
    ):
        node.start()
        node.wait_for_event("broker.connected")
        with dashboard(broker, "n") as port:
            page = browser.page()
            page.look(1280, 800)
            page.open(f"http://127.0.0.1:{port}/#alerts")
            page.run("document.querySelector('#who').value = 'Ada'")
            for step, value in enumerate((1.0, 2.0, 99.0)):
                sensor.publish("t/a", json.dumps({"v": value, "time": 1_760_000_000 + 10 * step}))
            page.wait("document.querySelector('#alerts-open .card')")
            page.wait("document.querySelector('#spoken').textContent.includes('99')")
            page.click("#alerts-open .primary")
            page.wait(
                "document.querySelector('#alerts-open .card').innerText.includes('acknowledged by Ada')"
            )
            assert page.run("document.querySelector('#alerts-open .primary').hidden")
            told_all = json.loads(sensor.last()["edgeseq/n/bridge/alerts"])
            assert told_all["alerts"][0]["acknowledged_by"] == "Ada"
            page.click("#alerts-open [data-label=real]")
            page.wait("document.querySelector('#notice').textContent === 'Labelled: real.'")
            asked_for = json.loads(sensor.last()["edgeseq/n/bridge/request/label"])
            assert (asked_for["label"], asked_for["by"]) == ("real", "Ada")
            assert "error" not in json.loads(sensor.last()["edgeseq/n/bridge/response/label"])
            assert page.faults == []
        assert node.stop() == 0


def test_keyboard_alone_is_enough(broker: Broker, browser: Browser, user: Peer) -> None:
    """Views, search, the list and an acknowledgement without a mouse; single keys can be switched off."""
    with no_history(user), dashboard(broker) as port:
        page = browser.page()
        page.look(1280, 800)
        page.open(f"http://127.0.0.1:{port}/")
        publish_house(user)
        page.wait("document.querySelector('#detail-name').textContent === 'cellar-temperature'")
        page.wait("document.querySelector('#detail .card')")
        page.press("j")
        page.wait("document.querySelector('#detail-name').textContent === 'garage-door-battery'")
        page.press("k")
        page.wait("document.querySelector('#detail-name').textContent === 'cellar-temperature'")
        page.press("a")
        asked_for = request_of(user, "acknowledge")
        assert asked_for["alert"] == "h" * 16
        user.publish(*told.refusal("acknowledge", asked_for, "no such alert"))
        page.wait("document.querySelector('#notice').textContent === 'no such alert'")
        assert "409" in page.faults.pop()
        page.press("/")
        page.wait("document.activeElement.id === 'search'")
        for letter in "pump":
            page.press(letter)
        page.wait("document.querySelectorAll('.row').length === 2")
        page.press("Escape")
        for key, view in (("2", "alerts"), ("3", "skill"), ("4", "health"), ("1", "streams")):
            page.press(key)
            page.wait(f"!document.querySelector('#view-{view}').hidden")
        page.press("?")
        page.wait("document.querySelector('#help').open")
        page.run("document.querySelector('#keys-on').click()")
        page.press("Escape")
        page.press("2")
        assert page.run("document.querySelector('#view-alerts').hidden")
        assert page.faults == []


FRAMES = f"""
new Promise((done) => {{
  const times = [];
  let before = performance.now();
  const end = before + {SECONDS * 1000};
  const step = (now) => {{
    times.push(now - before);
    before = now;
    if (now < end) requestAnimationFrame(step); else done(times);
  }};
  requestAnimationFrame(step);
}})
"""


def test_thousand_streams_are_usable(broker: Broker, browser: Browser, user: Peer) -> None:
    """1,000 streams at a reading a second each: all are known, few are elements, and the newest reading is shown."""
    names = [f"plant-line{n % 10}-sensor{n:04}" for n in range(MANY)]
    begun_s = time.time() // told.PERIOD_S * told.PERIOD_S - 40 * told.PERIOD_S
    is_over = threading.Event()
    rounds = [0]

    def publish() -> None:
        while not is_over.is_set():
            due_s = time.monotonic() + 1
            template = told.forecast("STREAM", begun_s + rounds[0] * told.PERIOD_S, leads=24)[1]
            for number, name in enumerate(names):
                observed = b'"observed":%d.%03d' % (rounds[0], number)
                payload = template.replace(b"STREAM", name.encode()).replace(
                    b'"observed":', observed + b',"x":'
                )
                user.publish(f"{told.ROOT}/{name}/forecast", payload, qos=0)
            rounds[0] += 1
            is_over.wait(max(due_s - time.monotonic(), 0))

    with dashboard(broker) as port:
        page = browser.page()
        page.look(1280, 800)
        page.open(f"http://127.0.0.1:{port}/")
        thread = threading.Thread(target=publish)
        thread.start()
        try:
            page.wait(f"document.querySelector('#count-streams').textContent === '{MANY}'")
            page.run("document.querySelector('#list').scrollTop = 20000")
            times = sorted(page.run(FRAMES))
            page.picture(PICTURES / "thousand-1280-light.png")
        finally:
            is_over.set()
            thread.join()
        middle, late, worst = (times[int(share * (len(times) - 1))] for share in (0.5, 0.99, 1))
        print(
            f"{MANY} streams at 1 update/s, {os.cpu_count()} cores: {len(times) / SECONDS:.0f} frames/s, "
            f"frame {middle:.1f} ms median, {late:.1f} ms p99, {worst:.1f} ms worst"
        )
        assert page.run("document.querySelectorAll('.row').length") < 40
        page.run("document.querySelector('#search').focus()")
        for letter in "sensor0777":
            page.press(letter)
        wanted = f"{rounds[0] - 1}.777"
        page.wait(f"document.querySelector('.row .value').textContent.startsWith('{float(wanted):.4g}')")
        assert page.faults == []
