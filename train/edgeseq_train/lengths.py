"""Whether a recording is long enough for what is asked of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgeseq.core.durations import format_duration
from edgeseq.core.instants import format_instant
from edgeseq.core.types import Bool
from edgeseq.errors import InputError

if TYPE_CHECKING:  # which imports this
    from edgeseq_train.parts import Recording, Split

DAY_NS = 86_400 * 10**9
SEASONS_SEEN = 3
"""A season must have passed so often before it can be learned, as it must before it is found."""


def check_length(
    steps: int,
    train: int,
    period_ns: int,
    horizon: int,
    seasons: Sequence[int] | None,
    ring: int | None = None,
) -> None:
    """Refuse a recording whose training part is too short.

    Args:
        steps: of the recording.
        train: of its training part.
        period_ns: grid period.
        horizon: steps to forecast.
        seasons: steps, as the recipe asks for them; None: found from what there is.
        ring: steps that the recipe wants kept; None: chosen among what there is.

    Raises:
        InputError: too short for the horizon, the ring or a season.
    """
    _check(steps, train, period_ns, 4 * horizon + 200, f"a horizon of {horizon}", "forecast less far")
    if ring:
        _check(steps, train, period_ns, ring + horizon, f"a ring of {ring}", "set a shorter [front] ring")
    for season in seasons or ():
        least, shorter = SEASONS_SEEN * season, "leave the season out of [front] seasons"
        _check(steps, train, period_ns, least, f"{SEASONS_SEEN} seasons of {season}", shorter)


def check_parts(recording: Recording, split: Split, horizon: int) -> None:
    """Refuse parts shorter than the horizon, and series to be forecast that have no value in one of them.

    Nothing could be learned or measured.

    A test part without any value at all is one that was taken out, as a search for the best recipe does: see
    `check_measurable`.

    Raises:
        InputError: a part is too short, or a series has no value in it.
    """
    S, C = recording.values.shape[1:]
    targets = [k for k in range(S * C) if k % C < recording.target_channels]
    known = np.isfinite(recording.values.reshape(len(recording.values), -1))
    # Forecasts whose leads would pass the end of a part are not made.
    reach = horizon - 1
    parts = {
        "training": (0, split.train), "validation": (split.train, split.validation - reach),
        "test": (split.validation, split.test - reach),
    }  # fmt: skip
    if not known[split.validation :].any():
        del parts["test"]
    for part, (start, stop) in parts.items():
        if part != "training":
            _check_reach(part, stop + reach - start, horizon)
        lacking = [k for k in targets if not known[start:stop, k].any()]
        if lacking:
            raise InputError(
                f"series without values in the {part} part",
                where=", ".join(recording.names[k] for k in lacking)[:200],
                found="; ".join(f"{recording.names[k]}: {_span(recording, known[:, k])}" for k in lacking)[
                    :300
                ],
                wanted=f"values within {_when(recording, start)} to {_when(recording, stop - 1)} too",
                do="cut all to the time they share with --since and --until, leave these out with --without, or train"
                " them by themselves",
            )


def _check_reach(part: str, steps: int, horizon: int) -> None:
    if steps >= horizon:
        return
    raise InputError(
        f"the {part} part is shorter than the horizon",
        where="--split, or recipe: [split]",
        found=f"{steps} {'step' if steps == 1 else 'steps'} of {horizon}",
        wanted=f"at least {horizon} steps, and several times as many for figures that mean something",
        do="give it more with --split, record for longer, or forecast less far",
    )


def check_measurable(recording: Recording, split: Split) -> None:
    """Refuse a recording whose test part is empty, where what was trained is to be measured on it.

    Raises:
        InputError: nothing is known in the test part.
    """
    if np.isfinite(recording.values[split.validation : split.test]).any():
        return
    raise InputError(
        "the test part is empty",
        found=f"no value in its {split.test - split.validation} steps,"
        f" from {_when(recording, split.validation)} on",
        wanted="values to measure forecasts by",
        do="give --until the time at which the readings end, or choose another --split",
    )


def _span(recording: Recording, known: Bool) -> str:
    steps = np.flatnonzero(known)
    if len(steps) == 0:
        return "no values"
    return f"{_when(recording, int(steps[0]))} to {_when(recording, int(steps[-1]))}"


def _when(recording: Recording, step: int) -> str:
    start_ns, period_ns = recording.start_ns, recording.period_ns
    return f"step {step}" if start_ns is None else format_instant(start_ns + step * period_ns)


def _check(steps: int, train: int, period_ns: int, least: int, reason: str, instead: str) -> None:
    if train >= least:
        return
    share = max(train, 1) / max(steps, 1)
    wanted = math.ceil(least / share)
    lasting = _lasting(steps * period_ns, in_whole_days=False)
    raise InputError(
        "the training part is too short",
        found=f"{train} steps, {100 * share:.0f} % of the recording's {steps} ({lasting})",
        wanted=f"at least {least} steps for {reason}: a recording of {wanted} steps",
        do=f"record for {_lasting(wanted * period_ns, in_whole_days=True)}, or {instead}",
    )


def _lasting(duration_ns: int, *, in_whole_days: bool) -> str:
    """Tell a duration; from two days on in days, whole ones rounded up."""
    if duration_ns < 2 * DAY_NS:
        return format_duration(duration_ns)
    days = duration_ns / DAY_NS
    return f"{math.ceil(days)} days" if in_whole_days else f"{days:.1f} days"
