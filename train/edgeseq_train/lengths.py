"""Whether a recording is long enough for what is asked of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeseq.errors import InputError

DAY_NS = 86_400 * 10**9
SEASONS_SEEN = 3
"""A season must have passed so often before it can be learned, as it must before it is found."""


def check_length(steps: int, train: int, period_ns: int, horizon: int, seasons: Sequence[int] | None) -> None:
    """Refuse a recording whose training part is too short.

    Args:
        steps: of the recording.
        train: of its training part.
        period_ns: grid period.
        horizon: steps to forecast.
        seasons: steps, as the recipe asks for them; None: found from what there is.

    Raises:
        InputError: too short for the horizon or a season.
    """
    _check(steps, train, period_ns, 4 * horizon + 200, f"a horizon of {horizon}", "forecast less far")
    for season in seasons or ():
        least, shorter = SEASONS_SEEN * season, "leave the season out of [front] seasons"
        _check(steps, train, period_ns, least, f"{SEASONS_SEEN} seasons of {season}", shorter)


def _check(steps: int, train: int, period_ns: int, least: int, reason: str, instead: str) -> None:
    if train >= least:
        return
    share = max(train, 1) / max(steps, 1)
    wanted = math.ceil(least / share)
    raise InputError(
        "the training part is too short",
        found=f"{train} steps, {100 * share:.0f} % of the recording's {steps} ({steps * period_ns / DAY_NS:.1f} days)",
        wanted=f"at least {least} steps for {reason}: a recording of {wanted} steps",
        do=f"record for {math.ceil(wanted * period_ns / DAY_NS)} days, or {instead}",
    )
