"""What a node publishes, made without one: messages of many streams, of the daemon's own payload structs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from edgeseq.core.instants import format_instant
from edgeseq.core.payloads import (
    AlertPayload,
    AlertRate,
    ForecastPayload,
    HealthPayload,
    InfoPayload,
    LatestPayload,
    OpenAlert,
    OpenAlertsPayload,
    Path,
    ResponsePayload,
    RuleInfo,
    StatusPayload,
)
from edgeseq.core.types import AlertKind

ROOT = "edgeseq/attic"
PERIOD_S = 600

Told = tuple[str, bytes]


def instant(time_s: float) -> str:
    """Write a time."""
    return format_instant(round(time_s * 1e9))


def _numbers(stream: str, step: int, *, level: float, swing: float) -> tuple[float, float]:
    """Give a reading and its forecast: a daily pattern with a little noise."""
    day = math.sin(2 * math.pi * step * PERIOD_S / 86_400 + len(stream))
    noise = math.sin(step * 12.9898 + len(stream) * 78.233) * swing * 0.16
    return digits(level + swing * day + noise), digits(level + swing * day)


def digits(value: float) -> float:
    """Round as a node does."""
    return float(f"{value:.5g}")


def forecast(
    stream: str, time_s: float, *, level: float = 20.0, swing: float = 3.0, leads: int = 36, **more: Any
) -> Told:
    """Tell a forecast of a stream, or of a channel named with a slash."""
    step = int(time_s // PERIOD_S)
    observed, _ = _numbers(stream, step, level=level, swing=swing)
    ahead = [_numbers(stream, step + lead, level=level, swing=swing)[1] for lead in range(1, leads + 1)]
    half = [0.24 * swing * (1 + 0.05 * lead) for lead in range(leads)]
    path = Path(
        lead_s=[PERIOD_S * lead for lead in range(1, leads + 1)],
        lower=[digits(value - width) for value, width in zip(ahead, half, strict=True)],
        value=list(ahead),
        upper=[digits(value + width) for value, width in zip(ahead, half, strict=True)],
    )
    name, _, channel = stream.partition("/")
    given: dict[str, Any] = {
        "id": f"{stream}:{step}:base",
        "stream": name,
        "origin": instant(time_s),
        "period_s": PERIOD_S,
        "unit": "°C",
        "observed": observed,
        "value": path.value[0],
        "lower": path.lower[0],
        "upper": path.upper[0],
        "coverage": 0.9,
        "score": 0.2,
        "quality": "ok",
        "source": "model",
        "skill": 0.21,
        "bundle": "house@3fa9c2",
        "path": path,
        **({"channel": channel} if channel else {}),
    }
    payload = ForecastPayload(**{**given, **more})
    return f"{ROOT}/{stream}/forecast", msgspec.json.encode(payload)


def latest(stream: str, time_s: float, **more: Any) -> Told:
    """Tell what is retained of a stream."""
    given = msgspec.json.decode(forecast(stream, time_s)[1])
    del given["path"]
    payload = LatestPayload(**{**given, "phase": "live", "data": "ok", "alert": "none", **more})
    return f"{ROOT}/{stream}/latest", msgspec.json.encode(payload)


def status(stream: str, phase: Any = "live", data: Any = "ok", alert: Any = "none") -> Told:
    """Tell a stream's status."""
    return f"{ROOT}/{stream}/status", msgspec.json.encode(StatusPayload(phase=phase, data=data, alert=alert))


def opened(stream: str, time_s: float, message: str, *, name: str = "abcdefghijklmnop", **more: Any) -> Told:
    """Tell an alert event."""
    given: dict[str, Any] = {
        "event_type": "opened",
        "id": name,
        "seq": 1,
        "stream": stream,
        "channel": None,
        "kind": AlertKind.SPIKE,
        "severity": "critical",
        "group": name,
        "opened": instant(time_s),
        "time": instant(time_s),
        "cleared": None,
        "observed": 31.0,
        "expected": 20.4,
        "lower": 19.0,
        "upper": 22.0,
        "unit": "°C",
        "p_value": 0.0001,
        "message": message,
    }
    return f"{ROOT}/{stream}/alert", msgspec.json.encode(AlertPayload(**{**given, **more}))


def open_alerts(*alerts: Told, **more: Any) -> Told:
    """List alerts as open, as bridge/alerts does."""
    fields = {field.name for field in msgspec.structs.fields(OpenAlert)} - {"acknowledged"}
    told = [msgspec.json.decode(payload) for _, payload in alerts]
    listed = [OpenAlert(**{k: v for k, v in one.items() if k in fields}, **more) for one in told]
    return f"{ROOT}/bridge/alerts", msgspec.json.encode(OpenAlertsPayload(count=len(listed), alerts=listed))


def refusal(verb: str, request: dict[str, Any], error: str) -> Told:
    """Refuse a request."""
    return _response(ResponsePayload(verb=verb, id=request["id"], error=error))


def _response(payload: ResponsePayload) -> Told:
    return f"{ROOT}/bridge/response/{payload.verb}", msgspec.json.encode(payload)


def history(request: dict[str, Any], *alerts: Told) -> Told:
    """Answer bridge/request/alerts."""
    entries: list[Any] = [
        {
            "number": number,
            "table": "house",
            "muted": False,
            "alert": msgspec.Raw(payload),
            "acknowledged": None,
            "acknowledged_by": None,
            "label": "false_alarm" if number == 1 else None,
            "note": None,
        }
        for number, (_, payload) in reversed(list(enumerate(alerts, start=1)))
    ]
    return _response(
        ResponsePayload(verb="alerts", id=request["id"], count=len(entries), alerts=entries, next=None)
    )


def bridge(time_s: float, streams: int) -> Iterator[Told]:
    """Tell how the node is, what runs on it and how it fares."""
    yield f"{ROOT}/bridge/state", b'{"state":"online"}'
    rules = [
        RuleInfo("house", PERIOD_S, (), "house@3fa9c2"),
        RuleInfo("pump1", 1, ("flow", "vibration"), "pump@91be04"),
        RuleInfo("zigbee2mqtt/+", PERIOD_S, (), None),
    ]
    yield (
        f"{ROOT}/bridge/info",
        msgspec.json.encode(InfoPayload(version="0.1.0", node="attic", rules=rules)),
    )
    health = HealthPayload(
        time=instant(time_s),
        uptime_s=781_400,
        streams=streams,
        open_alerts=2,
        received=1_204_331,
        applied=1_203_900,
        late=12,
        duplicate=400,
        rejected={"no_field": 17, "bad_time": 2},
        rss_bytes=96_000_000,
        alert_rates=[AlertRate(table="house", per_week=0.8, budget=2.0)],
    )
    told = msgspec.to_builtins(health)
    told["intervals"] = [
        {"table": "house", "promised": 0.9, "coverage": 0.912, "width": 3.1, "outcomes": 48_210},
        {"table": "pump1", "promised": 0.9, "coverage": 0.871, "width": 2.7, "outcomes": 903_114},
    ]
    yield f"{ROOT}/bridge/health", msgspec.json.encode(told)
