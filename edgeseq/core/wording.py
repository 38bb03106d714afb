"""Alerts in words: a sentence that a person understands without knowing edgeseq."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

from edgeseq.core.instants import format_instant
from edgeseq.core.number_forms import SIGNIFICANT_DIGITS
from edgeseq.core.types import AlertEvent, AlertKind, Limits

_STATES = {
    AlertKind.SPIKE: "outside the expected range",
    AlertKind.OUT_OF_RANGE: "out of range",
    AlertKind.STUCK: "stuck",
    AlertKind.SILENT: "silent",
    AlertKind.LEVEL_SHIFT: "at another level",
    AlertKind.DRIFT: "drifting",
    AlertKind.VARIANCE_CHANGE: "of unusual variation",
    AlertKind.BROKEN_PROFILE: "out of its usual pattern",
    AlertKind.BROKEN_RELATION: "at odds with its other channels",
    AlertKind.NOVELTY: "unlike anything seen before",
    AlertKind.LIMIT_AHEAD: "heading for its limit",
}


def sentence(
    event: AlertEvent,
    label: str,
    unit: str | None,
    limits: Limits,
    channels: Sequence[str] = (),
    period_ns: int = 0,
) -> str:
    """Say what happened: "flow is 12.4 l/s, 3.1 above the expected 9.3 (band 8.7 to 9.9), since 2026-03-01 14:05 UTC".

    channels: names of those that have their part in it.
    period_ns: time between two steps.
    """
    since_ns = event.opened_ns if event.since_ns is None else event.since_ns
    if event.event_type == "cleared":
        return _cleared(event, label, since_ns)
    since, observed = _moment(since_ns), quantity(event.observed, unit)
    if event.kind is AlertKind.OUT_OF_RANGE:
        return f"{label} is {observed}, allowed {_range(limits, unit)}, since {since}"
    if event.kind is AlertKind.LIMIT_AHEAD:
        ahead = _ahead(event, period_ns)
        return f"{label} is {observed}, allowed {_range(limits, unit)}, heading for its limit{ahead}"
    if event.kind is AlertKind.STUCK:
        return f"{label} stuck at {observed}, noticed at {_moment(event.opened_ns)}"
    if event.kind is AlertKind.SILENT:
        return f"{label} silent, readings overdue since {since}"
    told = f"is {observed}" if event.kind is AlertKind.SPIKE else f"{_STATES[event.kind]}: {observed}"
    others = f" (with {', '.join(channels)})" if channels else ""
    return f"{label}{others} {told}{_deviation(event)}, since {since}"


def _ahead(event: AlertEvent, period_ns: int) -> str:
    """Say when a limit is crossed: ": about 2026-03-01 16:40 UTC, 16:30 to 16:50", or as far as that is known."""
    times = (
        None if steps is None else event.time_ns + round(steps * period_ns)
        for steps in event.crossing_steps or ()
    )
    crossing, earliest, latest = (*times, None, None, None)[:3]
    if crossing is None:
        return ""
    since = "" if earliest is None else _moment(earliest, crossing).removesuffix(" UTC")
    until = "" if latest is None else _moment(latest, crossing).removesuffix(" UTC")
    span = f"{since} to {until}" if since and until else f"not before {since}" if since else ""
    return f" about {_moment(crossing)}" + (f" ({span})" if span else "")


def _cleared(event: AlertEvent, label: str, since_ns: int) -> str:
    """Say how an alert ended."""
    ended = _moment(event.time_ns)
    if event.is_normal_now:
        return f"{label} {_STATES[event.kind]} since {_moment(since_ns)}, which is the new normal from {ended} on"
    began = _moment(since_ns, event.time_ns)
    return f"{label} no longer {_STATES[event.kind]} since {ended}, it began at {began}"


def _deviation(event: AlertEvent) -> str:
    """Say how far from what was expected: ", 3.1 above the expected 9.3 (band 8.7 to 9.9)"; nothing where unknown."""
    band = f"{number(event.lower)} to {number(event.upper)}"
    has_band = math.isfinite(event.lower) and math.isfinite(event.upper)
    residual = event.observed - event.expected
    if not math.isfinite(residual):
        return f", usually {band}" if has_band else ""
    side = "above" if residual > 0 else "below"
    told = f", {number(abs(residual))} {side} the expected {number(event.expected)}"
    return f"{told} (band {band})" if has_band else told


def quantity(value: float, unit: str | None) -> str:
    """Write a value with its unit."""
    return f"{number(value)} {unit}" if unit else number(value)


def number(value: float) -> str:
    """Write a value with 5 significant digits, without an exponent where that stays readable.

    >>> number(1234567.0), number(0.5), number(1e30)
    ('1234600', '0.5', '1e+30')
    """
    text = f"{value:.{SIGNIFICANT_DIGITS}g}"
    if math.isfinite(value) and "e" in text and 1e-6 <= abs(value) < 1e15:
        return f"{Decimal(text):f}"
    return text


def _range(limits: Limits, unit: str | None) -> str:
    """Write the configured limits."""
    if limits.min is not None and limits.max is not None:
        return f"{number(limits.min)} to {quantity(limits.max, unit)}"
    if limits.max is not None:
        return f"at most {quantity(limits.max, unit)}"
    return f"at least {quantity(limits.min, unit)}" if limits.min is not None else "by the configuration"


def _moment(time_ns: int, said_ns: int | None = None) -> str:
    """Write a time with its date: a sentence is read days later, and of recordings. Not twice the date of `said_ns`."""
    day, _, clock = format_instant(time_ns).partition("T")
    is_said = said_ns is not None and format_instant(said_ns).startswith(day)
    return f"{clock[:5]} UTC" if is_said else f"{day} {clock[:5]} UTC"
