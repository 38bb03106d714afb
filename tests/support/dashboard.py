"""The dashboard as a process, and what is published and asked of it."""

from __future__ import annotations

import http.client
import http.server
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import node_told as told
from tests.support.broker import PATIENCE_S, Broker, Peer, free_port, wait_until
from tests.support.browser import Page

PICTURES = Path(__file__).parents[2] / "build" / "dashboard"
VIEWS = ("streams", "alerts", "skill", "health")
REQUESTS = f"{told.ROOT}/bridge/request/+"


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
