"""The daemon, but for one thing: it counts its processor time by what it is spent on, and writes it down when asked.

    EDGESEQ_PARTS=file python -m tests.bench.stream.clocked run --config edgeseq.toml

On SIGUSR1 the file gets the seconds so far, by part, as JSON. The parts exclude each other: of a call within another
the time counts where it was spent.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

from tests.support.broker import wait_until

ENVIRONMENT = "EDGESEQ_PARTS"
REST = "· loop, frees"


class Clock:
    """Seconds of processor time of this thread, by part."""

    def __init__(self, now_s: Callable[[], float] = time.thread_time) -> None:
        self.spent_s: dict[str, float] = {}
        self._now_s = now_s
        self._part = REST
        self._since_s = now_s()

    def begin(self, part: str) -> str:
        """Count for a part from now on → the one that was counted for so far."""
        now_s, before = self._now_s(), self._part
        self.spent_s[before] = self.spent_s.get(before, 0.0) + now_s - self._since_s
        self._part, self._since_s = part, now_s
        return before

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Count the calls of a function for a part."""

        @wraps(function)
        def counted(*args: Any, **named: Any) -> Any:
            before = self.begin(part)
            try:
                return function(*args, **named)
            finally:
                self.begin(before)

        return counted


def places() -> tuple[tuple[str, Any, str], ...]:
    """List parts, and the functions whose time they are.

    Receive: recv, and cut into packets. Decode: and recognise what comes again. Core: align, calibrate, judge. Encode:
    into packets. Journal: and acknowledge.
    """
    from edgeseq.adapters.interpreter.steppers import TFLiteStepper
    from edgeseq.adapters.mqtt.batch import BatchTransport
    from edgeseq.adapters.mqtt.corked import Corked
    from edgeseq.adapters.mqtt.link import Link
    from edgeseq.compose import Node
    from edgeseq.core import detect
    from edgeseq.daemon import loop

    return (
        ("· receive", BatchTransport, "read"),
        ("· decode", loop, "accept"),
        ("· core, all else", loop, "advance"),
        ("· core, model", TFLiteStepper, "step_rows_summed"),
        ("· core, detect", detect, "commit"),
        ("· render", Node, "render"),
        ("· encode", Link, "publish"),
        ("· send", Corked, "flush"),
        ("· journal", loop.Daemon, "commit"),
    )


def install(clock: Clock) -> None:
    """Let the clock count what the daemon does with a reading."""
    for part, owner, name in places():
        setattr(owner, name, clock.timed(part, getattr(owner, name)))


def spent_s(pid: int, path: Path) -> dict[str, float]:
    """Ask such a daemon for its seconds so far, by part."""
    path.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    wait_until(path.exists, "the daemon has written down its time")
    told: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return told


def run() -> None:
    """Run the command line with a clock."""
    from edgeseq.cli import main

    clock, path = Clock(), Path(os.environ[ENVIRONMENT])
    install(clock)

    def tell(*_: object) -> None:
        clock.begin(clock.begin(REST))  # what is counted for now is counted up to now
        draft = path.with_suffix(".draft")
        with suppress(OSError):
            draft.write_text(json.dumps(clock.spent_s), encoding="utf-8")
            draft.replace(path)

    signal.signal(signal.SIGUSR1, tell)
    main()


if __name__ == "__main__":
    run()
