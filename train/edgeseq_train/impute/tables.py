"""What the trials found, as rows, as a table and as sentences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from rich.table import Table

from edgeseq.core.types import F64, I64
from edgeseq_train.impute.choosing import Choice, apply
from edgeseq_train.impute.filling import NETWORK, Estimates, Frame
from edgeseq_train.impute.lagging import Relabelled
from edgeseq_train.impute.results import Filled
from edgeseq_train.impute.trials import Trials, class_of

WORDS = {"linear": "linear interpolation", "seasonal": "the season's mean", NETWORK: "the network"}

Rows = list[dict[str, Any]]


def rows(trials: Trials, choice: Choice, names: Sequence[str], found: I64) -> Rows:
    """Sum the trials of the test part up by channel and class.

    Args:
        trials: on the test part.
        choice: what fills which gap.
        names: of the channels.
        found: (n, 3) gaps of the recording: channel, start, stop.
    """
    value, lower, upper, _ = apply(choice, trials.estimates)
    errors = trials.errors()
    classes = class_of(trials.estimates.gap, choice.ends)
    inside = (lower <= trials.truth) & (trials.truth <= upper)
    lengths = found[:, 2] - found[:, 1]
    made: Rows = []
    for c, name in enumerate(names):
        for k, end in enumerate(choice.ends):
            which = (trials.estimates.channel == c) & (classes == k)
            shortest = choice.ends[k - 1] + 1 if k else 1
            mine = (found[:, 0] == c) & (lengths >= shortest) & (lengths <= end)
            row: dict[str, Any] = {
                "channel": name, "shortest": shortest, "longest": end, "gaps": int(mine.sum()),
                "gap_steps": int(lengths[mine].sum()), "method": choice.rules[c][k].method,
                "stretches": len(np.unique(trials.stretches[which])),
            }  # fmt: skip
            if which.any():
                row["mae"] = float(np.abs(value - trials.truth)[which].mean())
                row["coverage"] = float(inside[which].mean())
                row["mae_by_method"] = {m: float(np.nanmean(e[which])) for m, e in errors.items()}
            made.append(row)
    return made


def table(made: Rows, frame: Frame, names: Sequence[str]) -> Table:
    """Lay the rows out by class: errors in units of each channel's mean distance from its median, averaged."""
    shown = Table(
        title="Stretches of the test part that were hidden: error (MAE / mean distance from the median)",
        title_justify="left",
    )
    for name in ("gap, steps", "gaps", "used"):
        shown.add_column(name, no_wrap=name != "used")
    for name in ("error\nas used", *frame.methods, "in 90 %\nband"):
        shown.add_column(name, justify="right")
    unit = dict(zip(names, frame.unit, strict=True))
    for (shortest, longest), group in _by_class(made):
        measured = [r for r in group if "mae" in r]
        used = (
            [f"{m} {n}" for m, n in _counts([r["method"] for r in group])]
            if len(names) > 1
            else [group[0]["method"]]
        )
        cells = [_span(shortest, longest), str(sum(r["gaps"] for r in group)), ", ".join(used)]
        if not measured:
            shown.add_row(*cells, *("" for _ in range(len(frame.methods) + 2)))
            continue
        errors = [np.mean([r["mae"] / unit[r["channel"]] for r in measured])]
        errors += [
            np.mean([r["mae_by_method"][m] / unit[r["channel"]] for r in measured]) for m in frame.methods
        ]
        coverage = np.mean([r["coverage"] for r in measured])
        shown.add_row(*cells, *(f"{e:.3f}" for e in errors), f"{100 * coverage:.0f} %")
    return shown


def _by_class(made: Rows) -> list[tuple[tuple[int, int], Rows]]:
    def key(row: dict[str, Any]) -> tuple[int, int]:
        return row["shortest"], row["longest"]

    return [(k, list(group)) for k, group in groupby(sorted(made, key=key), key)]


def _counts(methods: Sequence[str]) -> list[tuple[str, int]]:
    return sorted(((m, methods.count(m)) for m in set(methods)), key=lambda pair: -pair[1])


def _span(shortest: int, longest: int) -> str:
    return str(longest) if shortest == longest else f"{shortest}-{longest}"


def sentences(choice: Choice, names: Sequence[str]) -> list[str]:
    """Say for each channel which method wins for which gaps.

    >>> from edgeseq_train.impute.choosing import Rule
    >>> rules = tuple(Rule(m, 0.0, 0.0) for m in ("linear", "linear", "network"))
    >>> sentences(Choice((1, 3, 6), (rules,)), ["t"])
    ['t: linear interpolation wins for gaps up to 3 steps, the network up to 6']
    """
    said = []
    for name, rules in zip(names, choice.rules, strict=True):
        pairs = [(rule.method, end) for rule, end in zip(rules, choice.ends, strict=True)]
        spans = [(method, max(end for _, end in group)) for method, group in groupby(pairs, lambda p: p[0])]
        words = [f"{WORDS.get(method, method)} up to {end}" for method, end in spans]
        first, _, end = words[0].rpartition(" up to ")
        begin = f"{first} wins for gaps up to {end} step{'s' if end != '1' else ''}"
        said.append(f"{name}: {', '.join([begin, *words[1:]])}")
    return said


def lag_rows(estimates: Estimates, values: F64, names: Sequence[str]) -> Rows:
    """Sum up what readings (T, S) of the test part were estimated to be with a lag, each without itself."""
    truth = values[estimates.step, estimates.channel]
    made: Rows = []
    for c, name in enumerate(names):
        which = estimates.channel == c
        if which.any():
            errors = {m: float(np.nanmean(np.abs(v - truth)[which])) for m, v in estimates.values.items()}
            made.append({"channel": name, "readings": int(which.sum()), "mae_by_method": errors})
    return made


def lag_sentences(made: Rows, lag: int) -> list[str]:
    """Say how far the estimates with a lag are off, beside the best simple method."""
    said = []
    for row in made:
        errors = dict(row["mae_by_method"])
        ours = errors.pop(NETWORK)
        best = min(errors, key=lambda m: errors[m])
        said.append(
            f"{row['channel']}: with a lag of {lag}, single readings are estimated with an error of {ours:.4g}"
            f" ({WORDS.get(best, best)}: {errors[best]:.4g})"
        )
    return said


def outcome(names: Sequence[str], filled: Filled, again: Relabelled | None, longest: int) -> list[str]:
    """Say what was filled, what stays empty and what lies outside, a line for each channel."""
    empty = ~np.isfinite(filled.values)
    said = []
    for c, name in enumerate(names):
        count = int(filled.filled[:, c].sum())
        parts = [f"{count} steps filled" if count or empty[:, c].any() else "no gaps"]
        left = filled.left[filled.left[:, 0] == c]
        lengths = left[:, 2] - left[:, 1]
        if len(left):
            gaps = "gap" if len(left) == 1 else "gaps"
            parts.append(
                f"{len(left)} {gaps} of up to {lengths.max()} steps stay empty (--longest {longest})"
            )
        ends = int(empty[:, c].sum()) - int(lengths.sum()) if again is None else 0
        if ends > 0:
            parts.append(f"{ends} steps before the first or after the last reading stay empty")
        if again is not None:
            parts.append(f"{again.outside[:, c].sum()} readings outside")
        said.append(f"{name}: {', '.join(parts)}")
    return said
