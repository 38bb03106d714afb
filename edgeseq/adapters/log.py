"""Log lines: one JSON object each, on stderr, from a closed catalogue of events.

The catalogue gives each event its level, so a call is `log("broker.connected", host=…)`. In steady state nothing is
said at info but `daemon.summary`; nothing is ever said per message.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TextIO

import structlog

Level = Literal["debug", "info", "warning", "error"]
Log = Callable[..., None]
"""log(event, **fields)"""


class Entry(NamedTuple):
    """Level and meaning of an event."""

    level: Level
    meaning: str


CATALOGUE: Mapping[str, Entry] = {
    "alert.changed": Entry("info", "An alert was opened or cleared."),
    "alert.dropped": Entry("error", "The outbox was full: the oldest unacknowledged alert is given up."),
    "broker.connected": Entry("info", "The broker has accepted us; subscriptions are being made."),
    "broker.disconnected": Entry("warning", "The connection is gone; it will be made again."),
    "broker.refused": Entry("error", "The broker does not accept us; a human must act, we keep trying."),
    "broker.missed": Entry("warning", "No connection can be made; tried again with back-off."),
    "budget.exceeded": Entry(
        "warning",
        "A table raises more than 1.5 times as many alerts a week as its budget: see edgeseq tune alerts.",
    ),
    "bundle.opened": Entry("info", "A bundle is verified, has reproduced its proof, and serves."),
    "calendar.ended": Entry(
        "warning", "A bundle's table of summer time and holidays has ended: train it anew."
    ),
    "clock.stepped": Entry("warning", "The system clock was set; silence is counted anew."),
    "config.reloaded": Entry("info", "The new configuration is in force."),
    "config.rejected": Entry("error", "The new configuration is wrong: the old one stays in force."),
    "daemon.failed": Entry("error", "A bug: the daemon crashes, systemd restarts it."),
    "daemon.ready": Entry("info", "Bundles are verified and the state is restored."),
    "daemon.started": Entry("info", "The process has begun."),
    "daemon.stopped": Entry("info", "All is committed and told; the process goes."),
    "daemon.summary": Entry("info", "What was done since the process began; periodic."),
    "file.rejected": Entry("error", "A damaged file of the state folder was kept aside."),
    "journal.damaged": Entry("error", "Readings that had been acknowledged are lost behind a damaged place."),
    "inputs.filled": Entry(
        "warning", "No message gives the known covariates of some leads: older values stand in."
    ),
    "inputs.given": Entry("info", "Messages give the known covariates of all leads again."),
    "journal.truncated": Entry("warning", "An unfinished last write was cut off; it was never acknowledged."),
    "ledger.failed": Entry(
        "error", "The ledger of alerts cannot be used: alerts are told, but not kept; tried again."
    ),
    "ledger.rejected": Entry(
        "error", "A ledger that cannot be read was kept aside: snoozes, labels and history begin anew."
    ),
    "metrics.failed": Entry(
        "warning", "The file of metrics could not be written; told once until it works again."
    ),
    "publish.refused": Entry("error", "The broker has refused an alert; it is given up."),
    "publish.oversized": Entry(
        "error", "The broker takes no packet as large as a message: such are given up; the first in a minute."
    ),
    "reading.rejected": Entry("warning", "Something was not applied; the first of its reason in a minute."),
    "session.lost": Entry("error", "The broker has forgotten our session: messages may have been lost."),
    "snapshot.failed": Entry("error", "A snapshot could not be written; the journal goes on growing."),
    "snapshot.rejected": Entry("error", "A damaged or unreadable snapshot was found; an older one is used."),
    "snapshot.taken": Entry("debug", "A snapshot was written, and a new journal begun."),
    "state.carried": Entry(
        "warning", "Another version, runtime or machine made the state: equal within tolerance."
    ),
    "state.lost": Entry("error", "No snapshot checks: all streams begin anew."),
    "state.restored": Entry(
        "info",
        "The snapshot's streams, which have taken so many readings, and the journal's later ones are back.",
    ),
    "storage.failed": Entry("error", "The disk refuses: nothing is acknowledged until it works again."),
    "storage.recovered": Entry("info", "The disk works again; nothing was lost."),
    "stream.created": Entry("info", "A stream was seen for the first time."),
    "stream.dropped": Entry("warning", "A stream's rule is gone or changed: its state is dropped."),
    "stream.mismatched": Entry(
        "warning", "Readings come much faster or slower than every says, which the status calls mismatch."
    ),
    "stream.reset": Entry("warning", "A gap made a stream's state worthless; it begins anew."),
    "stream.switched": Entry(
        "info", "The model serves a stream from now on, or the baseline, which errs less."
    ),
    "subscription.refused": Entry("error", "The broker does not allow a subscription."),
    "model.outdated": Entry(
        "warning",
        "A model errs more than the baseline in some streams for long: train it anew with fresh data.",
    ),
    "update.changed": Entry(
        "info", "A bundle that is sent over the air was received, staged, judged or settled."
    ),
    "update.refused": Entry("warning", "A bundle that is sent over the air is not installed."),
    "update.retired": Entry("warning", "A bundle that came over the air no longer serves."),
    "variant.chosen": Entry("info", "A model's quantization was chosen by what each costs on this machine."),
    "transport.degraded": Entry(
        "warning", "The installed paho-mqtt is not what the fast transport knows: packets go one by one."
    ),
}

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}
"""Of syslog(3), as `<N>` in front of a line is read by journald."""


def open_log(level: Level = "info", stream: TextIO | None = None) -> Log:
    """Make the function that writes log lines; stderr unless said."""
    stream = stream or sys.stderr
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        _lead,
        _with_priority if _is_journal(stream) else _render,
    ]
    logger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    writers = {name: getattr(logger, entry.level) for name, entry in CATALOGUE.items()}

    def log(event: str, **fields: Any) -> None:
        writers[event](event, **fields)

    return log


MOST_LINES = 60
"""Of one event in a minute, where who sends readings can cause it: alerts, resets, new streams."""


class OncePerMinute:
    """Let the first of each key through in every minute, or the first few, and count the others."""

    def __init__(self) -> None:
        self._minutes: dict[str, tuple[int, int, int]] = {}

    def allow(self, key: str, now_s: float, most: int = 1) -> int | None:
        """Give the number of those held back since the last one let through, or None to hold this one back."""
        minute = int(now_s // 60)
        last, told, held = self._minutes.get(key, (-1, 0, 0))
        if minute == last and told >= most:
            self._minutes[key] = (last, told, held + 1)
            return None
        self._minutes[key] = (minute, told + 1 if minute == last else 1, 0)
        return held

    def bounded(self, log: Log, now_s: float, most: int = MOST_LINES) -> Log:
        """Make a log that takes at most so many lines of an event in a minute; the next tells how many it did not."""

        def tell(event: str, **fields: Any) -> None:
            held = self.allow(event, now_s, most)
            if held is not None:
                log(event, **fields, **({"untold": held} if held else {}))

        return tell


def _is_journal(stream: TextIO) -> bool:
    """Compare with $JOURNAL_STREAM, the way systemd.exec(5) tells."""
    try:
        status = os.fstat(stream.fileno())
    except OSError:  # not a real file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _lead(_logger: Any, _method: str, fields: Any) -> dict[str, Any]:
    """Put first what a reader looks for first."""
    return {**{name: fields[name] for name in ("time", "level", "event")}, **fields}


_render = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)


def _with_priority(logger: Any, method: str, fields: Any) -> str:
    return f"<{_PRIORITIES[fields['level']]}>{_render(logger, method, fields)!s}"
