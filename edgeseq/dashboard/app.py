"""The dashboard's pages and events, and the process that serves them.

MQTT comes in by a thread of its own and waits in a queue that is bounded in bytes; everything else happens in one event
loop. A page gets a frame of what has changed since its last one, a few times a second: whatever the streams do, its
cost is bounded, and a page that cannot keep up is let go.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from edgeseq.dashboard.asking import Ask, answered, asking_routes, read_body
from edgeseq.dashboard.feed import Feed
from edgeseq.dashboard.security import COOKIE, Guard, guarded
from edgeseq.errors import ConfigError
from edgeseq.watch import Broker, connect
from edgeseq.watch.asking import asked_node

STATIC = Path(__file__).parent / "static"
FRAME_S = 0.4
"""Between two frames of a page."""
DRAIN_S = 0.05
DRAINED_AT_ONCE = 500
"""Messages taken before pages have their turn."""
SILENT_S = 15.0
"""Without a change a page is told that all is well, so that a connection that broke is noticed."""
SLOW_PAGE_S = 20.0
"""A page that takes nothing for so long is let go."""
MAX_PAGES = 16
MAX_CONNECTIONS = 64
MAX_WAITING_BYTES = 32 * 2**20
WRONG_TOKEN_S = 1.0
LAST_ANSWER_S = 12
"""What was asked of the node when the dashboard ends is still answered: longer than a node is waited for."""


class Waiting(queue.Queue[tuple[str, bytes]]):
    """Messages that wait to be taken, as many as its size in bytes lets in: then the broker has to wait."""

    queue: deque[tuple[str, bytes]]

    def _init(self, maxsize: int) -> None:
        self.queue = deque()
        self._bytes = 0

    def _qsize(self) -> int:
        return self._bytes

    def _put(self, item: tuple[str, bytes]) -> None:
        self.queue.append(item)
        self._bytes += _cost_bytes(item)

    def _get(self) -> tuple[str, bytes]:
        item = self.queue.popleft()
        self._bytes -= _cost_bytes(item)
        return item


def _cost_bytes(item: tuple[str, bytes]) -> int:
    return len(item[0]) + len(item[1]) + 1


@dataclass(slots=True)
class Desk:
    """What all pages share."""

    feed: Feed
    waiting: Waiting = field(default_factory=lambda: Waiting(MAX_WAITING_BYTES))
    pages: int = 0
    slow_page_s: float = SLOW_PAGE_S
    dropped: int = 0
    """Pages that were let go, since they did not keep up."""
    is_linked: Callable[[], bool] = lambda: True
    """Whether the broker is there."""
    is_ending: Callable[[], bool] = lambda: False
    """Whether pages shall be let go, since the dashboard ends."""

    def drain(self, most: int = DRAINED_AT_ONCE) -> bool:
        """Take waiting messages; tells whether there may be more."""
        for _ in range(most):
            try:
                topic, payload = self.waiting.get_nowait()
            except queue.Empty:
                return False
            self.feed.take(topic, payload)
        return True


def make_app(desk: Desk, ask: Ask, guard: Guard) -> ASGIApp:
    """Put pages, events and requests together."""

    async def index(_: Request) -> Response:
        """Give the page."""
        return FileResponse(STATIC / "index.html")

    async def series(request: Request) -> Response:
        """Give all that is kept of a stream."""
        told = desk.feed.series_of(request.query_params.get("name", ""))
        return answered(told if told is not None else {"error": "no such stream"}, 200 if told else 404)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        """Take messages as long as pages are served."""
        taking = asyncio.create_task(_take(desk))
        yield
        taking.cancel()

    routes = [
        Route("/", index),
        Route("/login", lambda _: FileResponse(STATIC / "login.html")),
        Route("/login", _login(guard), methods=["POST"]),
        Route("/api/series", series),
        *asking_routes(ask),
        Route("/events", _Events(desk), methods=["GET"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return guarded(Starlette(routes=routes, lifespan=lifespan), guard)


async def _take(desk: Desk) -> None:
    while True:  # noqa: ASYNC110 - another thread fills the queue
        await asyncio.sleep(0 if desk.drain() else DRAIN_S)


def _login(guard: Guard) -> Any:
    async def login(request: Request) -> Response:
        given = parse_qs((await read_body(request) or b"").decode("utf-8", "replace")).get("token", [""])[0]
        if not guard.is_token(given.strip()):
            await asyncio.sleep(WRONG_TOKEN_S)
            return RedirectResponse("/login?wrong", 303)
        response = RedirectResponse("/", 303)
        is_secure = request.headers.get("origin", "").startswith("https:")
        response.set_cookie(COOKIE, guard.pass_(), httponly=True, samesite="strict", secure=is_secure)
        return response

    return login


# --- events -----------------------------------------------------------------------------------------------------


class _Events:
    """Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.desk.pages >= MAX_PAGES:
            await PlainTextResponse("too many pages are open\n", 503)(scope, receive, send)
            return
        self.desk.pages += 1
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await _tell(self.desk, send, gone)
        except TimeoutError:
            self.desk.dropped += 1
        finally:
            self.desk.pages -= 1
            gone.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _tell(desk: Desk, send: Send, gone: asyncio.Future[None]) -> None:
    """Send frames until the page has gone. Raises TimeoutError where it takes none."""
    headers = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    told, was_linked, silent_s = 0, None, 0.0
    while not (gone.done() or desk.is_ending()):
        is_linked = desk.is_linked()
        silent_s += FRAME_S
        if told != desk.feed.version or is_linked is not was_linked or silent_s > SILENT_S:
            frame = desk.feed.frame(told) | {"node": desk.feed.root, "linked": is_linked}
            told, was_linked, silent_s = frame["version"], is_linked, 0.0
            body = b"data: " + msgspec.json.encode(frame) + b"\n\n"
            async with asyncio.timeout(desk.slow_page_s):
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.wait({gone}, timeout=FRAME_S)
    await send({"type": "http.response.body", "body": b""})


# --- the process ------------------------------------------------------------------------------------------------


def serve(broker: Broker, root: str, address: tuple[str, int], guard: Guard, by: str | None) -> None:
    """Serve the dashboard of a node until interrupted.

    Raises:
        BrokerError: the broker cannot be reached at first.
        ConfigError: the address cannot be listened at.
    """
    prefix, _, node = root.rpartition("/")

    def ask(verb: str, asked: dict[str, Any]) -> dict[str, Any]:
        with asked_node(broker, prefix, node) as found:
            return found.ask(verb, **{"by": by, **{k: v for k, v in asked.items() if v is not None}})

    desk = Desk(Feed(root))
    with listening_socket(*address) as listener:
        client = connect(broker, [f"{root}/#"], desk.waiting)
        desk.is_linked = client.is_connected
        config = uvicorn.Config(
            make_app(desk, ask, guard),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=LAST_ANSWER_S,
        )
        server = uvicorn.Server(config)
        desk.is_ending = lambda: server.should_exit
        try:
            server.run([listener])
        except KeyboardInterrupt:
            return
        finally:
            client.disconnect()
            client.loop_stop()


def listening_socket(host: str, port: int) -> socket.socket:
    """Listen at an address.

    The kernel ends connections whose other end takes nothing: what waits for it is bounded, and so is the time.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # not on all systems; connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(2 * SLOW_PAGE_S * 1000))
    try:
        listener.bind((host, port))
    except OSError as fault:
        listener.close()
        raise ConfigError(
            "the dashboard cannot listen",
            where=f"--listen {host}:{port}",
            found=str(fault),
            wanted="a free port of an address of this machine",
            do="give another --listen",
        ) from fault
    return listener
