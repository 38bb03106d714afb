"""Recordings with a column that tells the truth: inputs on the grid, and the target beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Unpack

import numpy as np
import polars as pl
from msgspec import structs

from edgeseq.bundle.manifest import MAX_CLASSES
from edgeseq.core.types import F64, Aggregate, Target
from edgeseq.errors import ConfigError, InputError
from edgeseq_train.parts import Recording
from edgeseq_train.recordings import grid, sources, tables
from edgeseq_train.recordings.choose import choose, listed
from edgeseq_train.recordings.kinds import kind_of
from edgeseq_train.recordings.layout import part_of
from edgeseq_train.recordings.request import Options, Request, Say
from edgeseq_train.recordings.series import Candidate, Series

FRAME = "the data frame"
Task = Literal["estimate", "classify"]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A recording of one stream, and what is to be learned of it."""

    inputs: Recording
    """values (T, 1, C)."""
    target: Target
    truth: F64
    """(T,) numbers of the target, or indices of its classes; NaN where unknown."""


def read(
    path: Path, period_ns: int, aggregate: Aggregate, target: str, task: Task, **options: Unpack[Options]
) -> Labelled:
    """Read a recording as `edgeseq_train.recording.read` does, and its target.

    Args:
        path: file or folder. Classes may be text where it is one CSV or Parquet file, else they are numbers.
        period_ns: grid period.
        aggregate: how several readings of one step become one. Of classes the most frequent counts (last: the last).
        target: column that tells the truth.
        task: estimate a number, or classify.
        **options: as the fields of `recordings.request.Request` say; columns are the inputs.

    Raises:
        InputError: nothing there that can be trained on, or no such target.
        ConfigError: the target is among the inputs, or an aggregate that classes do not have.
    """
    kind = None if path.is_dir() else kind_of(path)
    if kind in ("csv", "parquet"):
        table = tables.load(path, kind, options.get("say", lambda _: None))
        return _labelled_table(table, _request(period_ns, aggregate, target, task, options), target, task)
    request = _request(period_ns, aggregate, target, task, options)
    return _labelled(sources.candidates_of([path], request), request, str(path), target, task, ())


def from_frame(
    frame: pl.DataFrame,
    period_ns: int,
    aggregate: Aggregate,
    target: str,
    task: Task,
    **options: Unpack[Options],
) -> Labelled:
    """Take a data frame as `read` takes a file."""
    request = _request(period_ns, aggregate, target, task, options)
    table = tables.Table(frame, FRAME)
    tables.check_rows(table)
    return _labelled_table(table, request, target, task)


def named(labelled: Labelled, names: Sequence[str]) -> Labelled:
    """Call classes otherwise than their column does: names such as "1=occupied".

    Raises:
        ConfigError: no such class, or two of one name.
    """
    pairs = dict(name.split("=", 1) for name in names if "=" in name)
    classes = tuple(pairs.get(c, c) for c in labelled.target.classes)
    if (
        len(pairs) == len(names)
        and pairs.keys() <= set(labelled.target.classes)
        and len({*classes}) == len(classes)
    ):
        return replace(labelled, target=structs.replace(labelled.target, classes=classes))
    raise ConfigError(
        "the names of the classes do not fit",
        where="--class-names",
        found=", ".join(names),
        wanted=", ".join(f"{c}=…" for c in labelled.target.classes) or "a target of classes",
    )


def _request(period_ns: int, aggregate: Aggregate, target: str, task: Task, options: Options) -> Request:
    if target in options.get("columns", ()):
        raise ConfigError(
            "the target is among the inputs",
            where=f"--{task}",
            found=target,
            wanted="a column that no device will see",
            do="leave it out of --columns",
        )
    if task == "classify" and aggregate in ("min", "max"):
        raise ConfigError(
            f"classes have no {aggregate}imum", where="aggregate", found=aggregate, wanted="last, mean or sum"
        )
    return replace(Request(period_ns=period_ns, aggregate=aggregate, **options), multichannel=True)


def _labelled_table(table: tables.Table, request: Request, target: str, task: Task) -> Labelled:
    names: tuple[str, ...] = ()
    frame = table.frame
    if task == "classify" and target in frame.columns and not frame[target].dtype.is_numeric():
        text = frame[target].cast(pl.String).str.strip_chars()
        names = tuple(sorted(text.drop_nulls().unique().to_list()))
        codes = text.replace_strict(
            list(names), list(range(len(names))), default=None, return_dtype=pl.Float64
        )
        table = replace(table, frame=frame.with_columns(codes.alias(target)))
    return _labelled(part_of(table, request).candidates, request, table.where, target, task, names)


def _labelled(
    candidates: Sequence[Candidate], request: Request, where: str, target: str, task: Task, names: tuple[str, ...]
) -> Labelled:  # fmt: skip
    (wanted,) = choose(candidates, [target], (), where, {target: f"--{task}"})[:1]
    others = [c for c in candidates if c is not wanted]
    loaded = {c.name: c.load() for c in choose(others, request.columns, request.without, where)}
    inputs = [s for s in loaded.values() if isinstance(s, Series)]
    if not inputs or (request.columns and len(inputs) < len(loaded)):
        found = "; ".join(f"{name}: {s}" for name, s in loaded.items() if isinstance(s, str))[:300]
        raise InputError("there are no numbers", where=where, found=found, wanted="inputs that are numbers")
    truth = wanted.load()
    if not isinstance(truth, Series):
        do = f"--classify {target}" if task == "estimate" else None
        raise InputError("the target holds no numbers", where=f"{where}: {target}", found=truth, do=do)
    # No device sees it: nobody makes increments of it.
    truth = replace(truth, kind="gauge")
    told = _classes(truth, names, where) if task == "classify" else {}
    columns = [
        replace(truth, channel=f"{target} {name}", values=(truth.values == value).astype(float))
        for value, name in told.items()
    ] or [truth]
    laid = grid.lay(
        [*(replace(s, stream="") for s in inputs), *(replace(s, stream="") for s in columns)],
        replace(request, say=_without(request.say, tuple(f"{c.channel}:" for c in columns) if told else ())),
        where,
    )
    C = len(inputs)
    shares = laid.values[:, 0, C:]
    known = np.isfinite(shares).all(axis=1)
    numbers = shares.argmax(axis=1).astype(float) if told else shares[:, 0]
    recording = replace(
        laid,
        values=laid.values[:, :, :C],
        names=laid.names[:C],
        units=laid.units[:C],
        channels=laid.channels[:C],
    )
    described = Target(target, truth.unit, classes=tuple(told.values()))
    return Labelled(recording, described, np.where(known, numbers, np.nan))


def _without(say: Say, starts: tuple[str, ...]) -> Say:
    """Leave out lines about columns that nobody recorded: `estimators.parts` tells of classes."""
    return lambda text: None if text.startswith(starts) else say(text)


def _classes(truth: Series, names: tuple[str, ...], where: str) -> dict[float, str]:
    """Name the values that occur."""
    values = np.unique(truth.values).tolist()
    if 2 <= len(values) <= MAX_CLASSES:
        return {value: names[int(value)] if names else f"{value:g}" for value in values}
    few = len(values) < 2
    raise InputError(
        "the target has only one class" if few else "the target has too many classes",
        where=f"{where}: {truth.name}",
        found=listed([names[int(v)] if names else f"{v:g}" for v in values]),
        wanted=f"2 to {MAX_CLASSES} classes",
        do="record until each class has occurred" if few else f"--estimate {truth.name} if it is a number",
    )
