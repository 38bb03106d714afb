"""Which of the channels that a recording has are meant."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from edgeseq.errors import InputError
from edgeseq_train.recordings.series import Candidate

MOST_LISTED = 20
_PATTERN = frozenset("*?[")


def choose(
    candidates: Sequence[Candidate],
    wanted: Sequence[str],
    without: Sequence[str],
    where: str,
    asked_by: Mapping[str, str] | None = None,
) -> list[Candidate]:
    """Pick candidates by name or pattern, in the order they are asked for.

    Args:
        candidates: what there is.
        wanted: names or patterns; none means all.
        without: names or patterns of what is left out again.
        where: the recording, for errors.
        asked_by: options that named columns, where it was not --columns.

    Raises:
        InputError: a name or pattern that nothing fits, or nothing is left.
    """
    picked: dict[int, Candidate] = {}
    for name in wanted or ("*",):
        picked |= dict(_matching(candidates, name, (asked_by or {}).get(name, "--columns"), where))
    for name in without:
        for k, _ in _matching(candidates, name, "--without", where):
            picked.pop(k, None)
    if not picked:
        raise InputError(
            "no channel is left",
            where=where,
            found=listed([c.name for c in candidates]),
            wanted="at least one column of numbers beside the time",
            do="compare --columns and --without with what was found",
        )
    return list(picked.values())


def _matching(
    candidates: Sequence[Candidate], name: str, option: str, where: str
) -> list[tuple[int, Candidate]]:
    # The whole name wins over its parts: a series may be called as another's column.
    found = [(k, c) for k, c in enumerate(candidates) if c.name == name]
    found = found or [(k, c) for k, c in enumerate(candidates) if name in c.names]
    if not found and _PATTERN & set(name):
        found = [(k, c) for k, c in enumerate(candidates) if any(fnmatchcase(n, name) for n in c.names)]
    if found or (name == "*" and not candidates):
        return found
    names = list(dict.fromkeys(n for c in candidates for n in c.names))
    raise InputError(
        "nothing fits the pattern" if _PATTERN & set(name) else "no such column, series or entity",
        where=where,
        found=listed([c.name for c in candidates]),
        wanted=f"{option} {name}",
        do=nearest(name, names) or f"choose with {option} among those found",
    )


def nearest(name: str, names: Sequence[str]) -> str | None:
    """Suggest names alike, or None.

    >>> nearest("temprature", ["time", "temperature", "humidity"])
    'did you mean temperature?'
    """
    lower = {n.lower(): n for n in names}
    near = [lower[n] for n in difflib.get_close_matches(name.lower(), list(lower), n=3, cutoff=0.6)]
    return f"did you mean {' or '.join(near)}?" if near else None


def listed(names: Sequence[str]) -> str:
    """List names, the first ones of many.

    >>> listed(["a", "b"]), listed([])
    ('a, b', 'nothing')
    """
    shown = ", ".join(names[:MOST_LISTED])
    return (
        shown + (f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else "")
    ) or "nothing"
