"""Notifications on a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeseq.adapters.sdnotify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """Give a service manager's socket and its address as systemd writes it."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@edgeseq-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + address[1:] if address.startswith("@") else address)
        listening.setblocking(False)
        yield listening, address


def test_notifier_says_what_systemd_expects(manager: tuple[socket.socket, str]) -> None:
    """Each call is one datagram in the form of sd_notify(3)."""
    listening, address = manager
    notifier = Notifier(address)
    notifier.ready("3 streams")
    notifier.watchdog()
    notifier.status("waiting for the broker")
    notifier.reloading()
    notifier.stopping()
    notifier.close()
    datagrams = [listening.recv(4096).decode() for _ in range(5)]
    reloading = datagrams.pop(3).split("\n")
    assert datagrams == [
        "READY=1\nSTATUS=3 streams",
        "WATCHDOG=1",
        "STATUS=waiting for the broker",
        "STOPPING=1",
    ]
    assert reloading[0] == "RELOADING=1"
    assert reloading[1].startswith("MONOTONIC_USEC=")
    assert int(reloading[1].split("=")[1]) > 0


@pytest.mark.parametrize("address", [None, ""])
def test_notifier_without_systemd_does_nothing(address: str | None) -> None:
    """Outside systemd there is nobody to tell."""
    notifier = Notifier(address)
    notifier.ready("")
    notifier.watchdog()
    notifier.close()


def test_notifier_manager_gone_or_slow_is_survived(tmp_path: Path) -> None:
    """A service manager that is gone, or whose socket is full, never stops the daemon."""
    gone = Notifier(str(tmp_path / "nobody"))
    gone.watchdog()
    gone.close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "full"))
        full = Notifier(str(tmp_path / "full"))
        for _ in range(10_000):
            full.watchdog()
        full.close()
