"""The dashboard in a real Chromium: hostile names, foreign pages, a token."""

from __future__ import annotations

import http.client
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import node_told as told
from tests.support.broker import Broker, Peer
from tests.support.browser import Browser
from tests.support.dashboard import PICTURES, VIEWS, asked, dashboard, go, no_history, publish_house

pytestmark = pytest.mark.system


TOKEN = "a-token-of-this-test"

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
