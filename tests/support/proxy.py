"""A TCP proxy that cuts: resets, stalls, or swallows everything while both ends believe that they are connected."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Iterator

CHUNK_BYTES = 65_536


class _Pipe:
    """One connection through the proxy: two sockets, and what is still to be written to each."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.waiting = {near: b"", far: b""}
        self.is_swallowing = False
        for end in self.waiting:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)

    def move(self, end: socket.socket, events: int) -> None:
        """Write what waits for an end, or read from it. Raises OSError where the connection is over."""
        other = next(e for e in self.waiting if e is not end)
        if events & selectors.EVENT_READ:
            data = end.recv(CHUNK_BYTES)
            if not data:
                raise ConnectionResetError
            if not self.is_swallowing:
                self.waiting[other] += data
        for target in (end, other):
            if self.waiting[target]:
                with contextlib.suppress(BlockingIOError):
                    written = target.send(self.waiting[target])
                    self.waiting[target] = self.waiting[target][written:]

    def wanted(self, end: socket.socket) -> int:
        """Give the events to wait for. All is read at once: what one end does not take has no bound here."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self.waiting[end] else 0)

    def close(self, *, is_reset: bool = False) -> None:
        """Close both ends; with RST where wanted."""
        for end in self.waiting:
            if is_reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()


class Proxy(threading.Thread):
    """Forwards a loopback port to another one, byte by byte, until told otherwise."""

    def __init__(self, to_port: int) -> None:
        super().__init__(name="proxy", daemon=True)
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._pipes: list[_Pipe] = []
        self._lock = threading.Lock()
        self._may_pass = threading.Event()
        self._may_pass.set()
        self._is_open = True
        self._is_dark = False

    # --- what a test asks for

    def reset(self) -> None:
        """Cut all connections with RST, wherever in a packet that is."""
        with self._lock:
            for pipe in list(self._pipes):
                self._drop(pipe, is_reset=True)

    def stall(self) -> None:
        """Let nothing pass until `go_on`; nothing is lost."""
        self._may_pass.clear()

    def go_on(self) -> None:
        """Let pass again what waits."""
        self._may_pass.set()

    def go_dark(self) -> None:
        """Swallow all that comes on the present connections, for ever; new ones are not answered until `light`."""
        with self._lock:
            self._is_dark = True
            for pipe in self._pipes:
                pipe.is_swallowing = True

    def light(self) -> None:
        """Serve new connections again; those that have gone dark stay so."""
        self._is_dark = False

    def close(self) -> None:
        """End."""
        self._is_open = False
        self._may_pass.set()
        self.join()
        for pipe in list(self._pipes):
            self._drop(pipe)
        self._selector.close()
        self._listener.close()

    # --- its thread

    def run(self) -> None:
        """Forward."""
        while self._is_open:
            ready = self._selector.select(0.05)
            self._may_pass.wait()
            with self._lock:
                for key, events in ready:
                    if key.data is None:
                        self._accept()
                    elif key.data in self._pipes:
                        self._move(key.data, key.fileobj, events)  # type: ignore[arg-type] # always sockets

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._to_port), timeout=1.0)
        except OSError:
            near.close()
            return
        pipe = _Pipe(near, far)
        pipe.is_swallowing = self._is_dark
        for end in pipe.waiting:
            self._selector.register(end, selectors.EVENT_READ, pipe)
        self._pipes.append(pipe)

    def _move(self, pipe: _Pipe, end: socket.socket, events: int) -> None:
        try:
            pipe.move(end, events)
        except OSError:
            self._drop(pipe)
            return
        for either in pipe.waiting:
            self._selector.modify(either, pipe.wanted(either), pipe)

    def _drop(self, pipe: _Pipe, *, is_reset: bool = False) -> None:
        for end in pipe.waiting:
            self._selector.unregister(end)
        pipe.close(is_reset=is_reset)
        self._pipes.remove(pipe)


@contextlib.contextmanager
def running_proxy(to_port: int) -> Iterator[Proxy]:
    """Run a proxy for a while."""
    proxy = Proxy(to_port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.close()
