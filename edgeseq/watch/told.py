"""What the terminal view reads of each payload: unknown fields are ignored, missing ones have a default."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import msgspec

from edgeseq.watch.terminal import number, printable

Time = Annotated[dt.datetime, msgspec.Meta(tz=True)]


class Forecast(msgspec.Struct, frozen=True):
    """What the view reads of a forecast."""

    origin: Time
    period_s: float
    observed: float | None = None
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    unit: str | None = None
    coverage: float = 0.9
    score: float | None = None
    source: str = ""
    skill: float | None = None


class Alert(msgspec.Struct, frozen=True):
    """What the view reads of an alert event."""

    event_type: str
    id: str
    kind: str
    time: Time
    seq: int = 0
    stream: str = ""
    severity: str = ""
    acknowledged: bool = False
    message: str = ""


class Standing(msgspec.Struct, frozen=True):
    """What the view reads of an open alert in bridge/alerts, and keeps of one that it has seen open."""

    id: str
    kind: str
    stream: str = ""
    channel: str | None = None
    severity: str = ""
    muted: bool = False
    acknowledged: Time | bool | None = None
    acknowledged_by: str | None = None

    def __str__(self) -> str:
        """Name it, with a mark of what is known of it.

        >>> print(Standing("k3", "spike"), Standing("k3", "drift", muted=True))
        ● spike ○ drift muted
        """
        kind = printable(self.kind)
        if self.muted:
            return f"○ {kind} muted"
        if not self.acknowledged:
            return f"● {kind}"
        return f"✓ {kind}" + (f" by {printable(self.acknowledged_by)[:12]}" if self.acknowledged_by else "")

    @property
    def urgency(self) -> int:
        """Rank it: 0 needs nobody, then by severity."""
        if self.muted or self.acknowledged:
            return 0
        return {"info": 1, "warning": 2}.get(self.severity, 3)


class OpenOnes(msgspec.Struct, frozen=True):
    """What the view reads of bridge/alerts."""

    count: int
    alerts: list[Standing]


class Status(msgspec.Struct, frozen=True):
    """What the view reads of a stream's status."""

    phase: str = ""
    data: str = ""
    alert: str = ""


class ClassTold(msgspec.Struct, frozen=True):
    """What the view reads of a stream's state: the class that an estimator sees it in."""

    state: str
    since: Time


class Account(msgspec.Struct, frozen=True):
    """What the view reads of bridge/health: what became of the readings since the node started."""

    received: int
    applied: int = 0
    late: int = 0
    duplicate: int = 0
    rejected: dict[str, int] = {}
    shed: int = 0

    def __str__(self) -> str:
        """Write it as the sum that it is.

        >>> print(Account(received=1204, applied=1200, late=1, rejected={"no_field": 3}))
        1,204 readings = 1,200 applied + 1 late + 0 duplicate + 3 rejected + 0 shed
        """
        rejected = sum(self.rejected.values())
        parts = (self.applied, self.late, self.duplicate, rejected, self.shed)
        names = ("applied", "late", "duplicate", "rejected", "shed")
        total = " + ".join(f"{count:,} {name}" for count, name in zip(parts, names, strict=True))
        return f"{self.received:,} readings = {total}"


class NodeState(msgspec.Struct, frozen=True):
    """What the view reads of bridge/state."""

    state: str = ""


def band(forecast: Forecast) -> str:
    """Write the next step's prediction interval with its unit."""
    if forecast.lower is None or forecast.upper is None:
        return "–"
    unit = f" {printable(forecast.unit)}" if forecast.unit else ""
    return f"{number(forecast.lower)} … {number(forecast.upper)}{unit}"
