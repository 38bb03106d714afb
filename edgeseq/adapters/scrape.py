"""Metrics for those who ask: HTTP on loopback or a unix socket.

A thread of its own waits for requests, one at a time. What it answers is made by the daemon's thread, which owns the
state: a request becomes a reminder in the inbox, and its answer comes back by `give`. A daemon that hangs answers 503.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from edgeseq.core.types import Scrape
from edgeseq.errors import ConfigError

ANSWER_S = 4.0
"""Longest wait for the daemon's thread; scrapers give up after 10 s unless told otherwise."""

REQUEST_S = 5.0
"""Longest wait for a request to arrive, or for its answer to leave."""

Answer = Callable[[bool], tuple[str, bytes] | None]
"""Asked for OpenMetrics? → type and text; None where the daemon does not answer."""


class Exporter:
    """Listens from the beginning until it is closed. Raises ConfigError where it cannot."""

    def __init__(self, address: tuple[str, int] | Path, put: Callable[[object], None]) -> None:
        self.address = address
        self._put = put
        self._answered = threading.Condition()
        self._answer: tuple[str, bytes] | None = None
        self._server = _listen(address, self._ask)
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def give(self, content_type: str, text: str) -> None:
        """Answer who asks; to be called for each `Scrape`."""
        with self._answered:
            self._answer = content_type, text.encode()
            self._answered.notify_all()

    def close(self) -> None:
        """Listen no longer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if isinstance(self.address, Path):
            self.address.unlink(missing_ok=True)

    def _ask(self, is_openmetrics: bool) -> tuple[str, bytes] | None:  # noqa: FBT001 - it is the only thing asked
        with self._answered:
            self._answer = None
            self._put(Scrape(is_openmetrics))
            self._answered.wait_for(lambda: self._answer is not None, ANSWER_S)
            return self._answer


class _Server(socketserver.TCPServer):
    """One request at a time: whoever asks more often waits."""

    allow_reuse_address = True
    request_queue_size = 8
    ask: Answer

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the client has gone, or sent no HTTP."""


class _Unix(_Server):
    address_family = socket.AF_UNIX
    allow_reuse_address = False


class _IPv6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_S
    server: _Server

    def do_GET(self) -> None:
        """Answer /metrics."""
        if not self._is_meant_for_us():
            self._reply(403, "text/plain", b"this name is not of this machine\n")
        elif self.path.partition("?")[0] != "/metrics":
            self._reply(404, "text/plain", b"see /metrics\n")
        elif answer := self.server.ask("application/openmetrics-text" in self.headers.get("Accept", "")):
            self._reply(200, *answer)
        else:
            self._reply(503, "text/plain", b"the daemon is busy\n")

    def _is_meant_for_us(self) -> bool:
        """Refuse other names: a page in a browser could point one of its own at this address (DNS rebinding)."""
        if isinstance(self.server, _Unix):
            return True
        host = self.headers.get("Host", "localhost").rpartition(":")
        name = (host[0] if host[2].isdigit() and host[0] else host[0] + host[1] + host[2]).strip("[]")
        return name in ("localhost", self.server.server_address[0])

    def _reply(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Tell nobody which Python this is."""
        return "edgeseq"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class calls it
        """Say nothing."""


def _listen(address: tuple[str, int] | Path, ask: Answer) -> _Server:
    try:
        if isinstance(address, Path):
            _clear(address)
            server: _Server = _Unix(str(address), _Handler)  # type: ignore[arg-type]  # of AF_UNIX it is a path
            address.chmod(0o666)  # as open as a port of loopback: who may come here is said by its folder
        else:
            server = (_IPv6 if ":" in address[0] else _Server)(address, _Handler)
    except OSError as fault:
        raise ConfigError(
            "metrics cannot be told there",
            where="metrics.listen",
            found=f"{address}: {fault.strerror or fault}",
            wanted="an address that is free, or a socket in a folder of this user's",
            do="choose another one, or end what listens there",
        ) from fault
    server.ask = ask
    return server


def _clear(path: Path) -> None:
    """Remove a socket that a killed process left behind; one that somebody listens on stays, and so do other files."""
    with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as probe:
        if path.is_socket() and probe.connect_ex(str(path)) != 0:
            path.unlink()
