"""What became of injected faults: recall, names and delays by kind and amplitude, and the figures of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tests.bench.alerts.faults import Fault, nine
from tests.bench.alerts.parts import Figures, Row

OWN_DEADLINE = ("stuck", "silent")
PROMPT = ("spike", "out_of_range")
"""Kinds whose delay is to be at most two readings."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One fault, and what was said of it."""

    fault: Fault
    headline: bool
    delay: int | None
    """Readings from the onset to the first alert of the window; None where it was missed."""
    names: tuple[str, ...]
    """Of that alert, at the latest before its clearing, and of those that opened beside it."""
    is_named: bool
    is_masked: bool
    """Missed while an alert from before the onset was open."""
    after: int
    """Alerts behind the window."""
    message: str
    rows: tuple[int, int]
    """The window in the copy."""


def rows_of(trials: Sequence[Trial]) -> list[Row]:
    """Make the rows: by kind and amplitude over all recordings, then by recording and kind."""
    rows = _by(trials, lambda t: {"kind": t.fault.kind, "amplitude": t.fault.amplitude, "recording": "all"})
    headline = [t for t in trials if t.headline]
    return rows + _by(headline, lambda t: {"kind": nine(t.fault.kind), "recording": t.fault.recording})


def _by(trials: Sequence[Trial], key: Callable[[Trial], Row]) -> list[Row]:
    groups: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        groups.setdefault(tuple(key(trial).values()), []).append(trial)
    return [{"part": "injected", **key(group[0]), **summed(group)} for group in groups.values()]


def summed(trials: Sequence[Trial]) -> Row:
    """Sum faults up."""
    found = [t for t in trials if t.delay is not None]
    others = [name for t in found if not t.is_named for name in t.names]
    return {
        "faults": len(trials),
        "recall": _share(len(found), len(trials)),
        "named_right": _share(sum(t.is_named for t in found), len(found)),
        "median_delay": float(np.median([t.delay or 0 for t in found])) if found else None,
        "masked": sum(t.is_masked for t in trials),
        "alerts_after": _share(sum(t.after for t in trials), len(trials)),
        "called": ", ".join(f"{others.count(n)} {n}" for n in sorted(set(others))),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def figures_of(trials: Sequence[Trial], clean: Sequence[Row], said: Sequence[Row]) -> Figures:
    """Make the figures of all faults that count in the headline."""
    headline = [t for t in trials if t.headline]
    whole, figures = summed(headline), Figures()
    figures |= {
        "injected_faults": len(headline),
        "injected_recall": whole["recall"],
        "injected_name_right": whole["named_right"],
        "injected_median_delay": summed([t for t in headline if t.fault.kind in PROMPT])["median_delay"],
        "injected_masked": whole["masked"],
        "injected_alerts_after": whole["alerts_after"],
        "injected_faults_moved": sum("moved" in row for row in said),
    }
    for kind in dict.fromkeys(nine(t.fault.kind) for t in headline):
        mine = summed([t for t in headline if nine(t.fault.kind) == kind])
        figures[f"injected_recall_{kind}"] = mine["recall"]
        figures[f"injected_name_right_{kind}"] = mine["named_right"]
        figures[f"injected_median_delay_{kind}"] = mine["median_delay"]
    return figures | _false_alarms(clean)


def _false_alarms(clean: Sequence[Row]) -> Figures:
    """Give the rate without faults: of single channels, which weigh by their time, and of whole plants."""
    figures = Figures()
    single = [r for r in clean if r["clean"] != "all channels"]
    plants = [r for r in clean if r["clean"] == "all channels"]
    for name, rows in (("stream", single), ("plant", plants)):
        weeks = sum(r["weeks"] for r in rows)
        alarms = sum(r["false_alarms"] for r in rows)
        figures[f"injected_false_alarms_per_{name}_week"] = round(alarms / weeks, 4) if weeks else None
    rates = {
        name: sum(r["false_alarms"] for r in single if r["recording"] == name)
        / sum(r["weeks"] for r in single if r["recording"] == name)
        for name in {r["recording"] for r in single}
    }
    if rates:
        worst = max(rates, key=rates.__getitem__)
        figures["injected_false_alarms_worst_recording"] = round(rates[worst], 4)
        figures["injected_false_alarms_worst_recording_name"] = worst
    return figures
