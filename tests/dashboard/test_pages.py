"""The dashboard in a real Chromium: every view, what a person does, hostile names, foreign pages, many streams.

Pictures of all views are left in build/dashboard/ to be looked at.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import node_told as told
from tests.support.broker import PATIENCE_S, Broker, Peer, free_port, peer, running_broker, wait_until
from tests.support.browser import Browser, Page, running_browser
from tests.support.node import node_in

pytestmark = pytest.mark.system

PICTURES = Path(__file__).parents[2] / "build" / "dashboard"
TOKEN = "a-token-of-this-test"
VIEWS = ("streams", "alerts", "skill", "health")
REQUESTS = f"{told.ROOT}/bridge/request/+"
MANY = 1000
SECONDS = 4


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Give a broker, on which nothing is retained."""
    with running_broker(tmp_path / "broker") as found:
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Give a browser."""
    with running_browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture
def user(broker: Broker) -> Iterator[Peer]:
    """Give a client that publishes as a node does, and hears what it is asked."""
    with peer(broker.port, REQUESTS) as found:
        yield found


@contextmanager
def dashboard(broker: Broker, node: str = "attic", *options: str) -> Iterator[int]:
    """Run the command for a while; gives its port."""
    port = free_port()
    arguments = ["--host", "127.0.0.1", "--port", str(broker.port), "--node", node, "--by", "tester"]
    listen = () if "--listen" in options else ("--listen", f"127.0.0.1:{port}")
    options = tuple(option.replace("PORT", str(port)) for option in options)
    command = [sys.executable, "-m", "edgeseq", "dashboard", *arguments, *listen, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: process.poll() is not None or answers(port), "the dashboard answers")
            yield port
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, errors.count("\n")) == (0, 1), errors


def answers(port: int) -> bool:
    """Tell whether something answers."""
    try:
        asked(port, "GET", "/login")
    except OSError:
        return False
    return True


def asked(
    port: int, method: str, path: str, body: str = "", **headers: str
) -> tuple[int, dict[str, str], str]:
    """Ask by hand: status, headers and text."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    link.request(method, path, body or None, {"Host": f"127.0.0.1:{port}", **given})
    answer = link.getresponse()
    text = answer.read(100_000).decode()
    link.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


def publish_house(user: Peer) -> tuple[told.Told, told.Told]:
    """Publish a node with some streams of every state; gives an alert that has ended and one that is open."""
    now_s = time.time() // told.PERIOD_S * told.PERIOD_S
    at = [now_s - told.PERIOD_S * ago for ago in range(150, -1, -1)]
    house: dict[str, dict[str, Any]] = {
        "cellar-temperature": {"level": 12.0, "swing": 1.5},
        "freezer-temperature": {"level": -18.0, "swing": 0.6, "source": "baseline", "skill": None, "bundle": None},
        "garage-door-battery": {"level": 87.0, "swing": 1.0, "unit": "%"},
        "greenhouse-temperature": {"level": 24.0, "swing": 5.0},
        "kitchen-humidity": {"level": 48.0, "swing": 6.0, "unit": "%", "skill": -0.03},
        "living-room-temperature": {"level": 21.0, "swing": 2.0},
        "meter-power": {"level": 1450.0, "swing": 600.0, "unit": "W"},
        "pump1/flow": {"level": 4.2, "swing": 0.8, "unit": "m³/h"},
        "pump1/vibration": {"level": 2.1, "swing": 0.3, "unit": "mm/s"},
        "roof-solar": {"level": 2300.0, "swing": 900.0, "unit": "W", "source": "baseline", "skill": None},
    }  # fmt: skip
    for name, given in house.items():
        for n, time_s in enumerate(at):
            is_hot = name.startswith("cellar") and (140 < n < 144 or n == 150)
            if not (name.startswith("greenhouse") and 70 < n < 84):
                user.publish(
                    *told.forecast(name, time_s, **{**given, **({"observed": 14.9} if is_hot else {})})
                )
        user.publish(*told.status(name.partition("/")[0]), retain=True)
    user.publish(*told.status("garage-door-battery", data="silent"), retain=True)
    user.publish(*told.status("kitchen-humidity", data="mismatch"), retain=True)
    user.publish(*told.status("roof-solar", phase="learning"), retain=True)
    said = "cellar-temperature 14.9 °C, 2.9 °C above the expected 12 °C (band 11.6 to 12.4 °C)"
    past = told.opened(
        "cellar-temperature",
        at[141],
        said,
        name="p" * 16,
        event_type="cleared",
        cleared=told.instant(at[143]),
    )
    hot = told.opened("cellar-temperature", at[149], said, name="h" * 16)
    quiet = told.opened(
        "garage-door-battery", at[130], "garage-door-battery has said nothing for 3 h", name="q" * 16,
        kind="silent", severity="warning",
    )  # fmt: skip
    for message in (past, hot, quiet, *told.bridge(now_s, len(house)), told.open_alerts(hot, quiet)):
        user.publish(*message, retain="/bridge/" in message[0])
    user.flush()
    return past, hot


def request_of(user: Peer, verb: str) -> dict[str, Any]:
    """Wait until the node was asked this, and give what."""
    topic = f"{told.ROOT}/bridge/request/{verb}"
    wait_until(lambda: user.texts(topic), f"asked to {verb}")
    found: dict[str, Any] = json.loads(user.texts(topic)[-1])
    return found


@contextmanager
def no_history(user: Peer) -> Iterator[None]:
    """Answer for a while, as a node without a history of alerts does."""
    is_over, topic, answered = threading.Event(), f"{told.ROOT}/bridge/request/alerts", 0

    def answer() -> None:
        nonlocal answered
        while not is_over.wait(0.02):
            for text in user.texts(topic)[answered:]:
                user.publish(*told.history(json.loads(text)))
                answered += 1

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def go(page: Page, view: str) -> None:
    """Show a view, and wait until it is drawn."""
    page.run(f"location.hash = '#{view}'")
    page.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


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


HOSTILE = (
    "<img src=x onerror=window.taken=1>",
    "'\"><svg onload=window.taken=1>",
    "<script>window.taken=1",
    "javascript:window.taken=1",
    "${window.taken=1}{{window.taken=1}}",
    "\u202eevil",
    "__proto__",
)


def test_hostile_names_are_shown_and_do_nothing(broker: Broker, browser: Browser, user: Peer) -> None:
    """Names, units, sources, tables and messages that look like markup are text in every view."""
    now_s = time.time() // told.PERIOD_S * told.PERIOD_S
    with no_history(user), dashboard(broker) as port:
        page = browser.page()
        page.look(1280, 800)
        page.open(f"http://127.0.0.1:{port}/")
        page.wait("document.querySelector('#node-state').textContent !== 'connecting'")
        events = []
        for n, name in enumerate(HOSTILE):
            user.publish(*told.forecast(name, now_s, unit=name, bundle=name))
            event = told.opened(name, now_s, f"<script>window.taken=1</script>{name}", name=16 * "abcdefg"[n])
            events.append(event)
            user.publish(*event)
        user.publish(*told.open_alerts(*events))
        for topic, payload in told.bridge(now_s, 1):
            user.publish(topic, payload.replace(b'"house', b'"<img src=x onerror=window.taken=1>'))
        user.publish(f"{told.ROOT}/bridge/state", json.dumps({"state": HOSTILE[0]}))
        user.flush()
        page.wait(f"document.querySelectorAll('.row').length === {len(HOSTILE)}")
        shown = page.run("[...document.querySelectorAll('.row .name')].map(e => e.textContent)")
        assert sorted(shown) == sorted(name.replace("\u202e", "\ufffd") for name in HOSTILE)
        for n in range(len(HOSTILE)):
            page.run(f"document.querySelectorAll('.row')[{n}].click()")
            page.run("new Promise(done => setTimeout(done, 50))")
        for view in VIEWS:
            go(page, view)
        assert page.text("#alerts-open .message").startswith("<script>")
        assert page.text("#node-state") == HOSTILE[0]
        assert page.run("window.taken === undefined")
        assert (
            page.run("document.querySelectorAll('main img, main svg, main script, main iframe').length") == 0
        )
        assert page.run("({}).stream === undefined && ({}).number === undefined")
        assert page.faults == []


@contextmanager
def foreign_pages() -> Iterator[int]:
    """Serve empty pages that forbid themselves nothing; gives the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_foreign_pages_and_names_get_nothing(broker: Broker, browser: Browser, user: Peer) -> None:
    """A name that leads here shows nothing; a foreign page can neither read nor acknowledge; headers say so."""
    with dashboard(broker) as port, foreign_pages() as foreign_port:
        page = browser.page()
        page.open(f"http://foreign.example:{port}/")
        assert "not served here" in page.text("body")
        page.open(f"http://foreign.example:{foreign_port}/")
        script = f"""Promise.all([
            fetch('http://127.0.0.1:{port}/api/acknowledge', {{method: 'POST', mode: 'no-cors',
              headers: {{'content-type': 'text/plain'}}, body: '{{"alert":"aaaaaaaaaaaaaaaa"}}'}}).catch(() => null),
            fetch('http://127.0.0.1:{port}/events').then(() => 'read', () => 'refused')])"""
        assert page.run(script)[1] == "refused"
        mine, body = f"http://127.0.0.1:{port}", '{"alert":"aaaaaaaaaaaaaaaa"}'
        json_type = {"Content_Type": "application/json"}
        for headers in (
            {"Origin": "http://foreign.example"},
            {"Origin": "null"},
            {},
            {"Origin": mine, "Host": "x"},
        ):
            assert asked(port, "POST", "/api/acknowledge", body, **json_type, **headers)[0] == 403
        assert asked(port, "POST", "/api/acknowledge", body, Origin=mine, Content_Type="text/plain")[0] == 415
        assert asked(port, "POST", "/api/acknowledge", '{"alert":"A"}', Origin=mine, **json_type)[0] == 400
        assert asked(port, "POST", "/api/acknowledge", " " * 5000, Origin=mine, **json_type)[0] == 413
        assert asked(port, "GET", "/static/../app.py")[0] == 404
        assert asked(port, "GET", "/static/%2e%2e/app.py")[0] == 404
        for path in ("/", "/static/main.js", "/api/series", "/nothing"):
            _, headers, _ = asked(port, "GET", path)
            assert headers["x-content-type-options"] == "nosniff"
            assert "script-src 'self';" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert "server" not in headers
        assert asked(port, "GET", "/")[2].count("<script") == 2
        assert user.texts(f"{told.ROOT}/bridge/request/acknowledge") == []


def test_token_lets_in(broker: Broker, browser: Browser, user: Peer, tmp_path: Path) -> None:
    """Beyond this machine a token is demanded: wrong ones are refused, the right one opens pages and events."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    refused = subprocess.run(
        [sys.executable, "-m", "edgeseq", "dashboard", "--listen", "0.0.0.0:0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 78
    assert "--token-file" in refused.stderr
    with dashboard(broker, "attic", "--listen", "0.0.0.0:PORT", "--token-file", str(token)) as port:
        assert asked(port, "GET", "/events")[0] == 401
        assert asked(port, "GET", "/api/series", Authorization=f"Bearer {TOKEN}")[0] == 404
        publish_house(user)
        page = browser.page()
        page.look(400, 820)
        page.open(f"http://127.0.0.1:{port}/login")
        page.picture(PICTURES / "login-400-light.png")
        for given, wanted in (("wrong-token-is-this", "'/login'"), (TOKEN, "'/'")):
            page.run(f"document.querySelector('#token').value = {json.dumps(given)}")
            page.click("button.primary")
            page.wait(f"location.pathname === {wanted} && document.readyState === 'complete'")
            if given != TOKEN:
                page.wait(
                    "location.search === '?wrong' && document.querySelector('#wrong')?.hidden === false"
                )
        page.wait("document.querySelectorAll('.row').length > 5")
        assert page.run("document.cookie") == "", "no script reads the cookie"
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
