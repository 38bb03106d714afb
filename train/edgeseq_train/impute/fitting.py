"""From a recording to an imputer: train, export, measure on hidden stretches, choose."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeseq.adapters.interpreter.hushed import hushed
from edgeseq.adapters.interpreter.runtimes import runtime_fault
from edgeseq.core.types import F64, Bool
from edgeseq.errors import InputError
from edgeseq_train import seasons
from edgeseq_train.impute import lagging
from edgeseq_train.impute.choosing import choose
from edgeseq_train.impute.filling import Frame
from edgeseq_train.impute.hiding import parts
from edgeseq_train.impute.imputer import Imputer, LagRule
from edgeseq_train.impute.network import ImputerSpec, Passes
from edgeseq_train.impute.runtime import RUNTIME, open_passes
from edgeseq_train.impute.settings import TrainingPlan
from edgeseq_train.impute.sight import feature_count
from edgeseq_train.impute.trials import class_ends, measure, spans
from edgeseq_train.impute.windows import plan

LEAST_VALUES = 300
"""Fewer known values of a channel teach nothing."""
SEASONS_FILLED = 3
"""Gaps of up to so many seasons are filled …"""
UNSEASONAL = 48
"""… where there is no season, of so many steps; …"""
LONGEST = 336
"""… of at most so many: windows must show both edges of the gap; …"""
SHARE = 40
"""… and of at most one part in so many of the recording."""

Say = Callable[[str], None]
Progress = Callable[[int, int, float, float], None]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training leaves."""

    imputer: Imputer
    passes: Passes
    summary: dict[str, Any]
    weights: Mapping[str, Any]
    models: Mapping[str, bytes]


def fit(
    values: F64, names: tuple[str, ...], period_ns: int, how: TrainingPlan, *, longest: int | None = None,
    lag: int | None = None, roles: Mapping[str, Bool] | None = None, say: Say = lambda _: None,
    progress: Progress = lambda *_: None,
) -> Fitted:  # fmt: skip
    """Train an imputer on a recording and choose what fills which gap.

    Args:
        values: (T, S), NaN where missing.
        names: of the S channels.
        period_ns: grid period.
        how: settings of the training.
        longest: steps of the longest gap to fill; default: three days, or what fits.
        lag: also calibrate estimates that look so many steps ahead.
        roles: (T,) flags of the parts `train` and `validation`; default: `hiding.parts`. No other step teaches
            anything; all known values are seen.
        say: is told a line at a time what was found.
        progress: as training.Progress.

    Raises:
        InputError: a channel has too few values, or never changes.
    """
    begun = time.perf_counter()
    found = any_season(np.where(roles["train"][:, None], values, np.nan) if roles else values, period_ns)
    longest = longest or longest_gap(len(values), found)
    roles = roles or parts(len(values), longest)
    frame, x = _framed(values, names, roles["train"], found, longest, how)
    say(f"seasons {list(found)}; gaps of up to {longest} steps are filled")
    weights, models, losses = _trained(frame, x, roles, how, progress)
    passes = open_passes(models["int8_weights"], frame.spec)
    ends = class_ends(longest)
    rng = np.random.default_rng(how.seed)
    choice = choose(measure(frame, passes, values, roles["validation"], spans(ends), rng), ends, len(names))
    rules = _lag_rules(frame, passes, values, roles["validation"], lag) if lag else ()
    summary = {
        "seasons": list(found), "longest": longest, "parameters": sum(a.size for a in weights.values()),
        **losses, "seconds": round(time.perf_counter() - begun, 1),
    }  # fmt: skip
    imputer = Imputer(names, period_ns, frame, choice, lag, rules, models["int8_weights"])
    return Fitted(imputer, passes, summary, weights, models)


def _framed(
    values: F64, names: tuple[str, ...], train: Bool, found: tuple[int, ...], longest: int, how: TrainingPlan
) -> tuple[Frame, F64]:
    """Settle scales and windows on the training part → frame, and the values in its units."""
    anchor, unit = settle(np.where(train[:, None], values, np.nan), names)
    x = (values - anchor) / unit
    near = plan(np.where(train[:, None], x, np.nan), found)
    spec = ImputerSpec(how.cell, how.units, feature_count(near.near, len(names)), 2 * near.near)
    return Frame(spec, near, tuple(anchor.tolist()), tuple(unit.tolist()), longest), x


def _trained(
    frame: Frame, x: F64, roles: Mapping[str, Bool], how: TrainingPlan, progress: Progress
) -> tuple[Mapping[str, Any], dict[str, bytes], dict[str, float]]:
    """Train and export → weights, models, losses."""
    with hushed(lambda _: True):
        from edgeseq_train.impute import export, training

        runtime_fault(RUNTIME)
    material = training.Material(
        x, roles["train"], roles["validation"], frame.near, frame.longest, 2 * frame.margin
    )
    weights, best, start = training.train(material, frame.spec, how, progress)
    with hushed(lambda _: True):
        exact = export.float32(frame.spec, weights)
        models = {"float32": exact, "int8_weights": export.int8_weights(exact)}
    return weights, models, {"validation_loss": best, "start_loss": start}


def _lag_rules(frame: Frame, passes: Passes, values: F64, allowed: Bool, lag: int) -> tuple[LagRule, ...]:
    wanted = np.isfinite(values) & allowed[:, None]
    return lagging.calibrate(lagging.estimate(frame, passes, values, lag, wanted), values)


def any_season(values: F64, period_ns: int) -> tuple[int, ...]:
    """List the seasons that any channel of values (T, S) shows; where one has no use for them, they are not chosen."""
    each = [seasons.detect(values[:, [c]], period_ns) for c in range(values.shape[1])]
    return tuple(sorted({season for found in each for season in found}))


def longest_gap(steps: int, found: tuple[int, ...]) -> int:
    """Choose the longest gap that is filled, in steps.

    >>> longest_gap(17420, (24, 168)), longest_gap(17420, ()), longest_gap(400, (24,))
    (72, 48, 10)
    """
    wanted = SEASONS_FILLED * found[0] if found else UNSEASONAL
    return max(1, min(wanted, LONGEST, steps // SHARE))


def settle(values: F64, names: tuple[str, ...]) -> tuple[F64, F64]:
    """Give anchor (the median) and unit (the mean distance from it) of each channel of values (T, S).

    Raises:
        InputError: too few values, or all are equal.
    """
    known = np.isfinite(values)
    for name, column, flags in zip(names, values.T, known.T, strict=True):
        if flags.sum() < LEAST_VALUES:
            raise InputError(
                "a channel has too few values to learn from", where=name,
                found=f"{flags.sum()} in the training part", wanted=f"at least {LEAST_VALUES}",
                do="leave the channel out with --without, or record for longer",
            )  # fmt: skip
        if np.ptp(column[flags]) == 0:
            raise InputError(
                "a channel never changes", where=name, found=f"{column[flags][0]:g} throughout the training part",
                wanted="values that differ", do="leave the channel out with --without",
            )  # fmt: skip
    anchor = np.nanmedian(values, axis=0)
    return anchor, np.nanmean(np.abs(values - anchor), axis=0)
