"""What the demo says: which forecaster earns what, and what to take home. Every figure is one of the table's."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeseq_train import trend
from edgeseq_train.sine.outcome import Curve, Outcome, is_better, score
from edgeseq_train.sine.series import Sine

KERAS = trend.Knobs(
    longer="raise the epochs", rate="give Adam a lower learning rate",
    smaller="use fewer units, add dropout, or draw a longer series",
    larger="give it a longer window, or a state that is carried",
    stop="Keep the weights of the best epoch (EarlyStopping with restore_best_weights).",
)  # fmt: skip
TABLE_HEAD = ("forecaster", "1 ahead", "±", "free run", "at once", "params", "µs")
EXPLAIN_TABLE = (
    "Mean absolute errors on the test part; the wave's height is 1. ± is what chance makes of the first figure (twice "
    "its standard error); two forecasters are told apart by their differences at the same readings, which chance "
    "moves less. In a free run the forecaster is fed what it forecast itself, for one season; at once means "
    "that it names all the readings of that season in one go. µs is the time for one reading on this machine: the "
    "tutorials' network says one number in it, the others 7 quantiles of 50 leads."
)


def table_rows(outcomes: Sequence[Outcome], sine: Sine) -> list[list[str]]:
    """Lay out the figures of every forecaster."""
    rows = []
    for o in outcomes:
        s = score(o, sine)
        direct = "–" if s.direct is None else f"{s.direct:.3f}"
        parameters = f"{o.parameters:,}" if o.layers else "–"
        spent = "–" if o.us_per_reading is None else f"{o.us_per_reading:.0f}"
        rows.append(
            [o.name, f"{s.one:.3f}", f"{s.by_chance:.3f}", f"{s.free:.3f}", direct, parameters, spent]
        )
    return rows


def read_curve(curve: Curve) -> tuple[str, str]:
    """Say how a training ended and what to change."""
    return trend.read(curve.training, curve.validation, KERAS if curve.per == "epoch" else trend.RECIPE)


def chosen(carried: Sequence[Outcome]) -> Outcome:
    """Choose the cell with the least validation loss: the test part must not choose who is judged on it."""
    return min(carried, key=lambda o: min(o.curve.validation) if o.curve else math.inf)


def headline(window: Outcome, carried: Sequence[Outcome], noise: Outcome, sine: Sine) -> str:
    """Say the one thing that matters."""
    best = chosen(carried)
    a, b, c = (f"{score(o, sine).one:.3f}" for o in (window, best, noise))
    least = f"where the noise alone makes {c}"
    if is_better(best, window, sine):
        return f"A state that is carried beats the window: {b} against {a}, {least}."
    if is_better(window, best, sine):
        return f"The window beats the carried state: {a} against {b}, {least}."
    apart = f"{score(window, sine).free:.3f} and {score(best, sine).free:.3f}"
    return f"One step ahead window and carried state draw: {a} and {b}, {least}. In a free run: {apart}."


def findings(
    window: Outcome, carried: Sequence[Outcome], simple: Sequence[Outcome], regression: Outcome, sine: Sine
) -> list[str]:
    """Say what else the table shows."""
    return [
        _against_simple(window, simple, sine),
        _among(carried, sine),
        _running_free(window, carried, sine),
        _regression(regression, carried, sine),
    ]


def _running_free(window: Outcome, carried: Sequence[Outcome], sine: Sine) -> str:
    best = chosen(carried)
    own, other = score(window, sine), score(best, sine)
    why = ": what was forgotten cannot be made up" if other.free < own.free else ""
    said = (
        f"Fed with its own forecasts for a season, the window network errs {own.free:.3f} a reading and the "
        f"{best.short} {other.free:.3f}{why}."
    )
    if other.direct is None:
        return said
    verdict = (
        ", as errors then do not feed on themselves" if other.direct < other.free else ", which is no better"
    )
    return (
        f"{said} Naming all readings of the season at once the {best.short} errs {other.direct:.3f}{verdict}."
    )


def _against_simple(window: Outcome, simple: Sequence[Outcome], sine: Sine) -> str:
    own = score(window, sine).one
    parts = [f"{o.name} ({score(o, sine).one:.3f})" for o in simple]
    beaten = [o for o in simple if is_better(window, o, sine)]
    verb = "beats" if len(beaten) == len(simple) else "does not clearly beat all of"
    return f"The tutorials' network ({own:.3f}) {verb} what needs no training: {' and '.join(parts)}."


def _among(carried: Sequence[Outcome], sine: Sine) -> str:
    ranked = sorted(carried, key=lambda o: score(o, sine).one)
    names = ", ".join(f"{o.short} {score(o, sine).one:.3f}" for o in ranked)
    clear = is_better(ranked[0], ranked[-1], sine)
    said = "the first is better than the last by more than chance" if clear else "chance decides between them"
    speaks = f"The {chosen(carried).short}, which had the least validation loss, speaks for all of them here."
    return f"Among the cells, one step ahead: {names}; {said}. {speaks}"


def _regression(regression: Outcome, carried: Sequence[Outcome], sine: Sine) -> str:
    own, best = score(regression, sine).one, chosen(carried)
    if is_better(best, regression, sine):
        return f"The {best.short} beats a linear regression, {regression.name} readings ({own:.3f})."
    return (
        f"A plain linear regression, {regression.name} readings, errs {own:.3f}: whoever looks back two seasons needs "
        "no network for a sine. That is why edgeseq starts every model from ridge and keeps the network only where it "
        "adds to it."
    )
