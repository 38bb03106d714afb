"""Inputs beside what is forecast: covariates of the past, covariates known for the future, the calendar.

columns read ─ arrange ─▶ streams of (target, past covariates) + known inputs (T, K)
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Unpack

import numpy as np

from edgeseq.core.calendar import Calendar, almanac
from edgeseq.core.known import Covariate, KnownInputs, encode, fill
from edgeseq.core.types import F64
from edgeseq.errors import InputError
from edgeseq_train.calendars import make_calendar
from edgeseq_train.parts import Recording, split_rows
from edgeseq_train.recipe import CalendarRecipe, Recipe
from edgeseq_train.recordings.choose import listed, nearest
from edgeseq_train.recordings.options import reading_of
from edgeseq_train.recordings.request import Options


def needs_channels(recipe: Recipe) -> bool:
    """Tell whether columns must be read as channels of one stream, for `arrange` to part them."""
    return recipe.multichannel or bool(recipe.covariates or recipe.known)


def wanted(columns: Sequence[str], recipe: Recipe) -> tuple[str, ...]:
    """List the columns to read: those that are named, with all covariates; none named means all."""
    return tuple(dict.fromkeys((*columns, *recipe.covariates, *recipe.known))) if columns else ()


def reading(recipe: Recipe, **given: Unpack[Options]) -> Options:
    """Say how a recording is read for a recipe; what is given wins over its [recording].

    Raises:
        ConfigError: an instant cannot be read.
    """
    asked: Options = {**reading_of(recipe.recording), **given}
    return {
        **asked, "columns": wanted(asked["columns"], recipe), "multichannel": needs_channels(recipe),
        # They come to the device by topics of their own, as they are.
        "gauges": recipe.known,
        "asked_by": {
            **dict.fromkeys(recipe.covariates, "--covariates"), **dict.fromkeys(recipe.known, "--known"),
        },
        # A calendar is of one time.
        "own_times": recipe.calendar is None,
    }  # fmt: skip


def arrange(taken: Recording, recipe: Recipe) -> Recording:
    """Part the channels that were read into targets, past covariates and known inputs.

    Each target becomes a stream of its own with the covariates beside it; with `multichannel` all targets are channels
    of one stream. Several streams of the same channels (stations of a long table) are parted alike.

    Raises:
        InputError: no such column, no target is left, known columns differ by stream, or a known one has no values.
        ConfigError: the calendar's zone or place is unknown.
    """
    if recipe.covariates or recipe.known:
        taken, values = _parted(taken, recipe)
    else:
        values = np.empty((len(taken.values), 0))
    calendar = _calendar(taken, recipe.calendar) if recipe.calendar else None
    if calendar is None and not recipe.known:
        return taken
    train = split_rows(len(values), recipe.split).train
    return with_known(taken, calendar, recipe.known, values, train)


def with_known(
    taken: Recording, calendar: Calendar | None, names: Sequence[str], values: F64, train: int
) -> Recording:
    """Add known inputs: a calendar, and covariates (T, J) normalised by their first `train` steps.

    Raises:
        InputError: a covariate has fewer than two different values there, or the recording's times are unknown.
    """
    covariates = [_covariate(name, values[:train, j]) for j, name in enumerate(names)]
    of = KnownInputs(calendar, tuple(covariates))
    filled, _ = fill(of, values[None], taken.period_ns)
    time_ns = (
        _start_ns(taken) + np.arange(len(values)) * taken.period_ns if calendar else np.arange(len(values))
    )
    known = encode(of, almanac(calendar) if calendar else None, time_ns[None], filled)
    return dataclasses.replace(taken, known=known[0], inputs=of)


def _parted(taken: Recording, recipe: Recipe) -> tuple[Recording, F64]:
    """Pick targets and covariates; give them, and the values (T, J) of the known columns."""
    S, C = taken.values.shape[1:]
    covariates = [_find(name, taken, "covariates") for name in recipe.covariates]
    known = [_find(name, taken, "known") for name in recipe.known]
    targets = [c for c in range(C) if c not in (*covariates, *known)]
    if not targets:
        raise InputError(
            "no column is left to forecast",
            found=f"covariates {', '.join(recipe.covariates)}; known {', '.join(recipe.known)}",
            wanted="at least one other column",
            do="name fewer columns as --covariates or --known",
        )
    if known and S > 1:
        raise InputError(
            "known columns differ by stream",
            found=f"{S} streams with a column {recipe.known[0]} each",
            wanted="one recording whose columns are channels of one place",
            do="train each place for itself, or name the columns as --covariates",
        )
    together = [targets] if recipe.multichannel else [[target] for target in targets]
    picked = [[*own, *covariates] for own in together]
    columns = [s * C + c for own in picked for s in range(S) for c in own]
    laid = dataclasses.replace(
        taken,
        values=np.concatenate([taken.values[:, :, own] for own in picked], axis=1),
        names=tuple(taken.names[k] for k in columns),
        units=tuple(taken.units[k] for k in columns) if taken.units else (),
        channels=_channel_names(taken, targets, covariates, is_one=len(together) * S == 1),
        targets=len(together[0]),
    )
    return laid, taken.values[:, 0, known]


def _find(name: str, taken: Recording, option: str) -> int:
    if name in taken.channels:
        return taken.channels.index(name)
    raise InputError(
        f"no such column among the {option}",
        found=listed(taken.channels),
        wanted=f"--{option} {name}",
        do=nearest(name, taken.channels) or "name columns that were read",
    )


def _channel_names(
    taken: Recording, targets: Sequence[int], covariates: Sequence[int], *, is_one: bool
) -> tuple[str, ...]:
    """Name a stream's channels; a target that is another in each stream has no name of its own."""
    own = [taken.channels[c] for c in targets] if is_one or len(targets) == 1 else ["value"]
    return (*own, *(taken.channels[c] for c in covariates))


def _covariate(name: str, values: F64) -> Covariate:
    known = values[np.isfinite(values)]
    if len(known) == 0 or known.min() == known.max():
        raise InputError(
            "a known column says nothing in the training part",
            found=f"{name}: {'no value' if len(known) == 0 else f'{known[0]:g} at all steps'}",
            wanted="values that change",
            do="leave it out of --known, or give the training part more rows",
        )
    return Covariate(name, float(known.mean()), float(known.std()))


def _calendar(taken: Recording, recipe: CalendarRecipe) -> Calendar:
    start_ns = _start_ns(taken)
    last_ns = start_ns + len(taken.values) * taken.period_ns
    this_year = dt.datetime.now(dt.UTC).year
    return make_calendar(recipe.time_zone, recipe.holidays, start_ns, last_ns, this_year)


def _start_ns(taken: Recording) -> int:
    if taken.start_ns is not None:
        return taken.start_ns
    raise InputError(
        "a calendar needs the times of the recording",
        found="values without a time",
        wanted="start_ns, the time of the first step",
        do="read it with edgeseq_train.recording",
    )
