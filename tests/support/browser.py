"""A real headless Chromium, driven by its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.support.broker import PATIENCE_S, wait_until

ARGUMENTS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--no-sandbox",  # tests run as root in places
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--no-proxy-server",
    "--hide-scrollbars",
    # A foreign name that leads here, as DNS rebinding makes one.
    "--host-resolver-rules=MAP foreign.example 127.0.0.1",
    "about:blank",
)


class Page:
    """A page of the browser."""

    def __init__(self, link: ClientConnection) -> None:
        self._link = link
        self._numbers = itertools.count(1)
        self.faults: list[str] = []
        """Exceptions, and what the browser logged as an error: a refused script or request among them."""
        self.requested: list[str] = []
        """Addresses that the page asked for."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command, and its result."""
        number = next(self._numbers)
        self._link.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._link.recv(timeout=PATIENCE_S))
            if told.get("id") != number:
                self._note(told)
                continue
            assert "error" not in told, told
            result: dict[str, Any] = told["result"]
            return result

    def _note(self, event: dict[str, Any]) -> None:
        given = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                details = given["exceptionDetails"]
                self.faults.append(details.get("exception", {}).get("description") or details["text"])
            case "Log.entryAdded" if given["entry"]["level"] == "error":
                self.faults.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")
            case "Network.requestWillBeSent":
                self.requested.append(given["request"]["url"])

    def run(self, script: str) -> Any:
        """Evaluate an expression, which may be a promise."""
        told = self.do("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, script: str) -> Any:
        """Wait until an expression is true, and give its value."""
        found: Any = None

        def is_there() -> bool:
            nonlocal found
            found = self.run(f"(found => found instanceof Node ? true : found)({script})")
            return bool(found)

        wait_until(is_there, f"{script}; faults: {self.faults}")
        return found

    def open(self, address: str) -> None:
        """Go to an address."""
        self.do("Page.navigate", url=address)
        self.wait(f"location.href.startsWith({json.dumps(address)}) && document.readyState === 'complete'")

    def text(self, selector: str) -> str:
        """Give the text that is seen of an element."""
        found: str = self.run(f"document.querySelector({json.dumps(selector)}).innerText")
        return found

    def click(self, selector: str) -> None:
        """Click with the mouse in the middle of an element."""
        where = self.wait(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); if (!e) return null; "
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect(); "
            "return b.width ? {x: b.x + b.width / 2, y: b.y + b.height / 2} : null })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.do("Input.dispatchMouseEvent", type=kind, **where, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key."""
        text = key if len(key) == 1 else {"Enter": "\r"}.get(key, "")
        codes = {"Enter": 13, "Tab": 9, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38}
        code = codes.get(key, ord(key.upper()) if len(key) == 1 else 0)
        shared = {"key": key, "windowsVirtualKeyCode": code}
        self.do("Input.dispatchKeyEvent", type="keyDown", text=text, **shared)
        self.do("Input.dispatchKeyEvent", type="keyUp", **shared)

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """Take on a size and a theme."""
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.do("Emulation.setEmulatedMedia", features=[theme])

    def picture(self, path: Path) -> None:
        """Take a screenshot."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.do("Page.captureScreenshot", format="png")["data"]))


class Browser:
    """A running browser."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._links: list[ClientConnection] = []

    def page(self) -> Page:
        """Open a page of its own, which shares no cookies with others."""
        context = self._main("Target.createBrowserContext")["browserContextId"]
        target = self._main("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        return Page(self._connect(f"ws://127.0.0.1:{self._port}/devtools/page/{target}"))

    def _main(self, method: str, **parameters: Any) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/json/version") as answer:
            address = json.load(answer)["webSocketDebuggerUrl"]
        if not self._links:
            self._connect(address)
        self._links[0].send(json.dumps({"id": 1, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._links[0].recv(timeout=PATIENCE_S))
            if told.get("id") == 1:
                result: dict[str, Any] = told["result"]
                return result

    def _connect(self, address: str) -> ClientConnection:
        self._links.append(connect(address, max_size=None, proxy=None, ping_interval=None, close_timeout=0.1))
        return self._links[-1]

    def close(self) -> None:
        """Leave."""
        for link in self._links:
            link.close()


@contextmanager
def running_browser(folder: Path) -> Iterator[Browser]:
    """Run a browser for a while."""
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "DevToolsActivePort"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["chromium", f"--user-data-dir={folder}", *ARGUMENTS],
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(folder)},
            start_new_session=True,
        )
    try:
        wait_until(lambda: told.exists() and told.read_text().count("\n"), f"Chromium listens; {folder}/log")
        browser = Browser(int(told.read_text().split("\n")[0]))
        try:
            yield browser
        finally:
            browser.close()
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
