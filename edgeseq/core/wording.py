"""Alerts in words: a sentence that a person understands without knowing edgeseq."""

from __future__ import annotations

import math
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


def sentence(event: AlertEvent, label: str, unit: str | None, limits: Limits) -> str:
    """Say what happened: "pump1 vibration 7.9 mm/s, expected 3.6 to 4.7 mm/s, since 2026-03-01 14:05 UTC"."""
    since = _moment(event.opened_ns)
    if event.event_type == "cleared":
        return (
            f"{label} no longer {_STATES[event.kind]} since {_moment(event.time_ns)}, "
            f"it began at {_moment(event.opened_ns, event.time_ns)}"
        )
    observed = quantity(event.observed, unit)
    if event.kind is AlertKind.SPIKE:
        expected = f"{number(event.lower)} to {quantity(event.upper, unit)}"
        return f"{label} {observed}, expected {expected}, since {since}"
    if event.kind is AlertKind.OUT_OF_RANGE:
        return f"{label} {observed}, allowed {_range(limits, unit)}, since {since}"
    if event.kind is AlertKind.STUCK:
        return f"{label} stuck at {observed}, noticed at {since}"
    if event.kind is AlertKind.SILENT:
        return f"{label} silent, readings overdue since {since}"
    usual = f", usually {number(event.lower)} to {quantity(event.upper, unit)}"
    is_known = math.isfinite(event.lower) and math.isfinite(event.upper)
    return f"{label} {_STATES[event.kind]}: {observed}{usual if is_known else ''}, since {since}"


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
