"""Alerts in words: a sentence that a person understands without knowing edgeseq."""

from __future__ import annotations

import math
from decimal import Decimal

from edgeseq.core.instants import format_instant
from edgeseq.core.payloads import SIGNIFICANT_DIGITS
from edgeseq.core.types import AlertEvent, AlertKind, Limits

_STATES = {
    AlertKind.SPIKE: "outside the expected range",
    AlertKind.OUT_OF_RANGE: "out of range",
    AlertKind.STUCK: "stuck",
    AlertKind.SILENT: "silent",
}


def sentence(event: AlertEvent, label: str, unit: str | None, limits: Limits) -> str:
    """Say what happened, such as "pump1 vibration 7.9 mm/s, expected 3.6 to 4.7, since 14:05 UTC"."""
    since = _clock(event.opened_ns, event.time_ns)
    if event.event_type == "cleared":
        until = _clock(event.time_ns, event.time_ns)
        return f"{label} no longer {_STATES[event.kind]} at {until}, it began at {since}"
    observed = quantity(event.observed, unit)
    if event.kind is AlertKind.SPIKE:
        return f"{label} {observed}, expected {number(event.lower)} to {number(event.upper)}, since {since}"
    if event.kind is AlertKind.OUT_OF_RANGE:
        return f"{label} {observed}, allowed {_range(limits)}, since {since}"
    if event.kind is AlertKind.STUCK:
        return f"{label} stuck at {observed}, noticed at {since}"
    return f"{label} silent, readings overdue since {since}"


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


def _range(limits: Limits) -> str:
    """Write the configured limits."""
    if limits.min is not None and limits.max is not None:
        return f"{number(limits.min)} to {number(limits.max)}"
    if limits.max is not None:
        return f"at most {number(limits.max)}"
    return f"at least {number(limits.min)}" if limits.min is not None else "by the configuration"


def _clock(time_ns: int, now_ns: int) -> str:
    """Write a time of day, with its date where that is not the day of `now_ns`."""
    day, _, clock = format_instant(time_ns).partition("T")
    is_today = format_instant(now_ns).startswith(day)
    return f"{clock[:5]} UTC" if is_today else f"{day} {clock[:5]} UTC"
