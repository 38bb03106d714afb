"""What a human sees of a search."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from optuna.study import Study
from optuna.trial import FrozenTrial
from rich.table import Table

from edgeseq_train.tuning.study import finished, ranked
from edgeseq_train.tuning.trial import PARAMETERS, RATIO, REASON, START

SHOWN = 8


def written(value: Any) -> str:
    """Write a choice for the reader.

    >>> written('"gru"'), written("null"), written("[24]"), written(0.0031234)
    ('gru', 'found', '24', '0.00312')
    """
    if isinstance(value, float):
        return f"{value:.3g}"
    option = msgspec.json.decode(value)
    if option is None:
        return "found"
    return ", ".join(map(str, option)) or "none" if isinstance(option, list) else str(option)


def best_trials(study: Study) -> Table:
    """Lay out the best trials, a column for each, the start recipe's among them however it went."""
    done, trials = finished(study), ranked(study)
    shown = [t for k, t in enumerate(trials) if k < SHOWN or t.user_attrs.get(START)]
    number = {t.number: str(k) for k, t in enumerate(done, start=1)}
    title = f"Best of {len(done)} trials on validation"
    table = Table(title=title, title_justify="left")
    table.add_column("trial", no_wrap=True)
    for t in shown:
        table.add_column(
            "start" if t.user_attrs.get(START) else number[t.number], justify="right", no_wrap=True
        )
    table.add_row("loss in start's units", *(f"{_value(t):.4f}" for t in shown))
    table.add_row("parameters", *(str(t.user_attrs[PARAMETERS]) for t in shown))
    table.add_row("cost against start", *(f"{t.user_attrs[RATIO]:.2f}" for t in shown), end_section=True)
    for field in shown[0].params if shown else ():
        table.add_row(field, *(written(t.params[field]) for t in shown))
    return table


def pruned(study: Study) -> list[str]:
    """Say how many trials were given up, and why.

    Reasons of one kind, which differ by their figures, are told together with the first's words.
    """
    reasons = [t.user_attrs[REASON] for t in finished(study) if REASON in t.user_attrs]
    kinds = Counter(_kind(reason) for reason in reasons)
    first = {_kind(reason): reason for reason in reversed(reasons)}
    return [f"{count} pruned, such as: {first[kind]}" for kind, count in kinds.items()]


def _kind(reason: str) -> tuple[str, ...]:
    return tuple(word for word in reason.split() if word.isalpha())


def gain(study: Study) -> str:
    """Say what the search has brought."""
    trials = ranked(study)
    best, start = trials[0], next((t for t in trials if t.user_attrs.get(START)), None)
    if start is None:
        return "The recipe itself is out of bounds: there is nothing to compare the best with."
    if best.number == start.number:
        return "No trial is better on validation than the recipe itself, which stays."
    return f"{100 * (1 - _value(best) / _value(start)):.1f} % below the recipe itself, on validation."


def _value(t: FrozenTrial) -> float:
    return t.value if t.value is not None else float("nan")
