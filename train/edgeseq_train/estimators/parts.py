"""Which classes the parts of a recording hold, and where to cut it so that each holds all of them.

What is chosen on a validation part without a class is chosen by what happens without it: a weekend says nothing of
whether a room's occupancy is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple

import msgspec
import numpy as np

from edgeseq.core.types import F64, Target
from edgeseq.errors import InputError
from edgeseq_train.estimators.labels import Labelled
from edgeseq_train.parts import Split, split_rows
from edgeseq_train.recipe import Recipe, SplitRecipe

LEAST_SHARE = 0.02
"""A class that is more seldom than this in the recording may be missing in a part."""
FAIR = (0.5, 0.25, 0.1)
"""Each part shall hold so much of what it would if classes were spread evenly; if that cannot be, less."""
LEAST_LENGTH = 0.5
"""… and be so long at least, as a share of the length that was wanted."""
CUTS = 120
"""Places at which a recording may be cut."""
NAMES = ("training", "validation", "test")


def parted(labelled: Labelled, recipe: Recipe, say: Callable[[str], None]) -> Recipe:
    """Tell the share of each class in each part; give the recipe, with another split where the usual one lacks a class.

    Raises:
        InputError: a part of the split that was asked for lacks a class, and another split would hold all.
    """
    target = labelled.target
    if not target.classes:
        return recipe
    split = split_rows(len(labelled.truth), recipe.split)
    say(told(labelled, split))
    missing = lacking(labelled, split)
    if not missing:
        return recipe
    better = whole_split(labelled, split)
    text = "; ".join(f"the {part} part lacks {', '.join(classes)}" for part, classes in missing.items())
    if better is None:
        say(f"{target.name}: {text}, and no split holds all classes in each part: mind that figures say less")
        return recipe
    counts = (better.train, better.validation - better.train, better.test - better.validation)
    if recipe.split != SplitRecipe():
        raise InputError(
            "a part of the recording lacks a class", where=f"{target.name}, by --split or recipe: [split]",
            found=text, wanted="all classes in each part", do=f"--split {','.join(map(str, counts))}",
        )  # fmt: skip
    say(
        f"{target.name}: {text}: parts of {counts[0]}, {counts[1]} and {counts[2]} steps instead hold all classes"
    )
    say(told(labelled, better))
    train, validation, test = map(float, counts)
    return msgspec.structs.replace(recipe, split=SplitRecipe(train=train, validation=validation, test=test))


def told(labelled: Labelled, split: Split) -> str:
    """Say the share of each class in the recording and its parts."""
    target = labelled.target
    each = [f"{name} {_shares(target, labelled.truth[part])}" for name, part in _parts(split).items()]
    return f"{target.name}: {_shares(target, labelled.truth)}; {'; '.join(each)}"


def lacking(labelled: Labelled, split: Split) -> dict[str, list[str]]:
    """List the classes that a part lacks, of those that are not seldom in the whole: part → names."""
    whole = _counts(labelled.target, labelled.truth)
    usual = whole >= LEAST_SHARE * whole.sum()
    found = {}
    for name, part in _parts(split).items():
        missing = usual & (_counts(labelled.target, labelled.truth[part]) == 0)
        if missing.any():
            found[name] = [labelled.target.classes[k] for k in np.flatnonzero(missing)]
    return found


def whole_split(labelled: Labelled, split: Split) -> Split | None:
    """Find the split nearest to another in which each part holds a fair share of each class that is not seldom."""
    truth = labelled.truth[: split.test]
    known = np.isfinite(truth)
    table = np.zeros((len(truth) + 1, len(labelled.target.classes)))
    table[1:][known, truth[known].astype(int)] = 1
    until = table.cumsum(axis=0)
    usual = until[-1] >= LEAST_SHARE * until[-1].sum()
    until = until[:, usual]
    cuts = np.unique(np.linspace(0, len(truth), CUTS + 1).round().astype(int))[1:-1].tolist()
    least = LEAST_LENGTH * np.diff([0, *astuple(split)])
    thought_of = [Split(a, b, split.test) for a in cuts for b in cuts if a < b]
    long = [s for s in thought_of if (np.diff([0, *astuple(s)]) >= least).all()]
    for fair in FAIR:
        found = [s for s in long if all(_is_fair(until, part, fair) for part in _parts(s).values())]
        if found:
            return min(found, key=lambda s: abs(s.train - split.train) + abs(s.validation - split.validation))
    return None


def _is_fair(until: F64, part: slice, fair: float) -> bool:
    wanted = fair * until[-1] * (part.stop - part.start) / (len(until) - 1)
    return bool((until[part.stop] - until[part.start] >= np.maximum(wanted, 1)).all())


def _parts(split: Split) -> dict[str, slice]:
    ends = astuple(split)
    return {name: slice(a, b) for name, a, b in zip(NAMES, (0, *ends), ends, strict=False)}


def _counts(target: Target, truth: F64) -> F64:
    known = truth[np.isfinite(truth)].astype(int)
    return np.bincount(known, minlength=len(target.classes)).astype(np.float64)


def _shares(target: Target, truth: F64) -> str:
    """Write such as `79 % 0, 21 % 1`; classes that do not occur are left out."""
    counts = _counts(target, truth)
    named = zip(counts, target.classes, strict=True)
    return ", ".join(f"{100 * n / counts.sum():.0f} % {name}" for n, name in named if n) or "no truth"
