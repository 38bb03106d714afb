"""Network cuts through a proxy, and restarts of the broker, while a thousand readings come a second.

    make bench-durability ONLY=cuts

A reset may fall into the middle of a packet. A stall holds everything for five seconds and loses nothing. In the dark
both ends believe that they are connected, until the keep-alive says otherwise. The broker is told to end, or killed;
what it then forgets by its own stated limit (`autosave_interval`) is counted apart: readings, and acknowledgements of
readings that have nothing but a packet id, which it then delivers again when the daemon has long forgotten them, too.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bench.durability_rig import AUTOSAVE_S, Rig, running_rig
from tests.support.broker import wait_until

STALL_S = 5.0
RECONNECTION_S = 60.0

CUTS = ("reset", "stall", "dark", "reset", "dark", "stall", "reset", "dark")
RESTARTS = ("told to end", "killed", "told to end", "killed")


def run() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Cut, then restart; give rows and figures."""
    rows = [
        campaign("cuts", CUTS, cut, is_proxied=True),
        campaign("restarts", RESTARTS, restart, is_proxied=False),
    ]
    return rows, {name: value for row in rows for name, value in figures(row).items()}


def figures(row: Mapping[str, Any]) -> dict[str, Any]:
    """Name a row's figures after what was done."""
    what = row["what"]
    return {
        what: row["times"],
        f"{what}_lost": row["readings_lost"],
        f"{what}_applied_twice": row["applied_twice"],
        f"{what}_alerts_lost": row["alerts_lost"],
        f"{what}_state_bit_equal": row["state_bit_equal"],
        f"{what}_forgotten_by_broker": row["readings_forgotten_by_broker"],
        f"{what}_delivered_again_by_broker": row["delivered_again_by_broker"],
    }


def campaign(
    what: str, kinds: tuple[str, ...], disturb: Callable[[Rig, str], None], *, is_proxied: bool
) -> dict[str, Any]:
    """Disturb once for each of the kinds; after each the daemon must catch up."""
    with (
        tempfile.TemporaryDirectory(prefix="edgeseq-") as folder,
        running_rig(Path(folder), seed=len(kinds), is_proxied=is_proxied) as rig,
    ):
        for kind in kinds:
            time.sleep(rig.rng.uniform(0.5, 2.0))
            disturb(rig, kind)
            rig.work_off()
        row = rig.finish()
        connections = len(rig.node.events("broker.connected"))
    return {"what": what, "times": len(kinds), "connections": connections} | row


def cut(rig: Rig, kind: str) -> None:
    """Cut the daemon's connection."""
    if kind == "stall":
        rig.proxy.stall()
        time.sleep(STALL_S)
        rig.proxy.go_on()
        return
    before = len(rig.node.events("broker.connected"))
    if kind == "reset":
        rig.proxy.reset()
    else:
        rig.proxy.go_dark()
        # New connections stay unanswered until the daemon has noticed.
        lost = len(rig.node.events("broker.disconnected"))
        wait_until(lambda: len(rig.node.events("broker.disconnected")) > lost, "dark seen", RECONNECTION_S)
        rig.proxy.light()
    wait_until(lambda: len(rig.node.events("broker.connected")) > before, "connected again", RECONNECTION_S)


def restart(rig: Rig, kind: str) -> None:
    """Restart the broker; one that is killed has had the time to save before."""
    before = len(rig.node.events("broker.connected"))
    if kind == "killed":
        time.sleep(AUTOSAVE_S + 5.0)
        rig.kill_broker()
    else:
        rig.broker.stop()
        rig.broker.start()
    wait_until(lambda: len(rig.node.events("broker.connected")) > before, "connected again", RECONNECTION_S)
