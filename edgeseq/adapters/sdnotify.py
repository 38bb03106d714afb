"""Tell systemd how we are, by the datagrams of sd_notify(3). Without systemd every call does nothing."""

from __future__ import annotations

import contextlib
import socket
import time


class Notifier:
    """A connection to the service manager; `address` is the value of $NOTIFY_SOCKET."""

    def __init__(self, address: str | None) -> None:
        self._socket: socket.socket | None = None
        if not address:
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self, status: str) -> None:
        """Say that bundles are verified and the state is restored."""
        self._send("READY=1", f"STATUS={status}")

    def watchdog(self) -> None:
        """Say that the whole daemon has made progress."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Say in a line what goes on."""
        self._send(f"STATUS={text}")

    def reloading(self) -> None:
        """Say that the configuration is being read again; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the daemon is going."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Close the socket."""
        if self._socket:
            self._socket.close()

    def _send(self, *lines: str) -> None:
        if not self._socket:
            return
        # A service manager that is gone, or slow, is no reason to stop forecasting.
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(lines).encode(), socket.MSG_DONTWAIT, self._address)
