"""Messages of a node as the live view takes them."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from edgeseq.watch import view as v
from edgeseq.watch.drawing import draw
from edgeseq.watch.terminal import no_colors

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
"""Of colours."""


def forecast_told(origin: str = "2026-03-01T10:00:00Z", **more: Any) -> bytes:
    """Make a forecast."""
    values = {"observed": 12.4, "value": 12.5, "lower": 12.1, "upper": 12.9, "unit": "°C", "source": "model"}
    return msgspec.json.encode({"origin": origin, "period_s": 3600, **values, **more})


def alert_told(event: str, **more: Any) -> bytes:
    """Make an alert event."""
    shown = {"id": "k3", "kind": "spike", "time": "2026-03-01T10:00:00Z", "message": "cellar 99 °C"}
    return msgspec.json.encode({"event_type": event, "stream": "cellar", **shown, **more})


def viewed(*messages: tuple[str, bytes]) -> v.View:
    """Take messages of one node into a view."""
    view = v.View(node="attic")
    for topic, payload in messages:
        v.take(view, f"edgeseq/attic/{topic}", payload)
    return view


def text_of(view: v.View, width: int = 120, height: int = 30) -> str:
    """Draw a view without colours."""
    return "\n".join(draw(view, width, height, no_colors))


def open_told(*alerts: dict[str, Any], count: int | None = None) -> bytes:
    """Make a list of open alerts."""
    listed = [
        {"id": f"a{i}", "kind": "drift", "stream": "cellar", "channel": None, **one}
        for i, one in enumerate(alerts)
    ]
    return msgspec.json.encode({"count": len(alerts) if count is None else count, "alerts": listed})
