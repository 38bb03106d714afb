"""The imputer: a trained network, what it was found to be good for, and the file that holds both."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import msgspec

from edgeseq.core.durations import format_duration
from edgeseq.errors import ConfigError, InputError
from edgeseq_train.impute.choosing import Choice
from edgeseq_train.impute.filling import Frame
from edgeseq_train.impute.network import Passes
from edgeseq_train.impute.runtime import open_passes

HEADER, MODEL = "imputer.json", "model.tflite"
SCHEMA = 1


class LagRule(msgspec.Struct, frozen=True):
    """The band of one channel with a fixed lag."""

    below: float
    """Factors of the network's half-widths that make the band hold 90 % of the readings."""
    above: float
    outside: float
    """A reading farther from its estimate than so many half-widths of the band is outside."""


class Imputer(msgspec.Struct, frozen=True):
    """All that filling needs."""

    names: tuple[str, ...]
    """Of the channels."""
    period_ns: int
    frame: Frame
    choice: Choice
    lag: int | None
    """Steps; None: trained for filling only."""
    lag_rules: tuple[LagRule, ...]
    """Of each channel; empty without a lag."""
    model: bytes
    """TFLite."""

    def open(self) -> Passes:
        """Open the network in the runtime."""
        return open_passes(self.model, self.frame.spec)


class _Header(msgspec.Struct, frozen=True):
    schema: int
    sha256: str
    """Of the model: the runtimes load a damaged one without a word, or crash."""
    names: tuple[str, ...]
    period_ns: int
    frame: Frame
    choice: Choice
    lag: int | None
    lag_rules: tuple[LagRule, ...]


def save(imputer: Imputer, path: Path) -> None:
    """Write an imputer."""
    fields = {name: getattr(imputer, name) for name in imputer.__struct_fields__ if name != "model"}
    header = _Header(schema=SCHEMA, sha256=hashlib.sha256(imputer.model).hexdigest(), **fields)
    draft = path.with_name(f".{path.name}.draft")
    with zipfile.ZipFile(draft, "w") as archive:
        archive.writestr(HEADER, msgspec.json.format(msgspec.json.encode(header), indent=1))
        archive.writestr(MODEL, imputer.model)
    draft.replace(path)


def load(path: Path) -> Imputer:
    """Read an imputer.

    Raises:
        InputError: not one, damaged, or of another edgeseq.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            header = msgspec.json.decode(archive.read(HEADER), type=_Header)
            model = archive.read(MODEL)
    except (OSError, KeyError, zipfile.BadZipFile, zipfile.error, msgspec.DecodeError) as fault:
        raise _unusable(path, f"{type(fault).__name__}: {fault}"[:200]) from fault
    if header.schema != SCHEMA:
        raise _unusable(path, f"schema {header.schema}")
    if hashlib.sha256(model).hexdigest() != header.sha256:
        raise _unusable(path, "the model is not the one that was written")
    fields = {name: getattr(header, name) for name in Imputer.__struct_fields__ if name != "model"}
    return Imputer(**fields, model=model)


def _unusable(path: Path, found: str) -> InputError:
    return InputError(
        "the imputer cannot be used",
        where=str(path),
        found=found,
        wanted=f"a file that edgeseq impute --save wrote (schema {SCHEMA})",
        do="train it anew",
    )


def check_fits(imputer: Imputer, names: tuple[str, ...], period_ns: int, lag: int | None, path: Path) -> None:
    """Refuse a recording that the imputer was not made for.

    Raises:
        InputError: other channels or period.
        ConfigError: another lag.
    """
    if imputer.names != names:
        raise InputError(
            "the imputer was made for other channels", where=str(path), found=", ".join(names)[:200],
            wanted=", ".join(imputer.names)[:200], do="name them in this order with --columns, or train it anew",
        )  # fmt: skip
    if imputer.period_ns != period_ns:
        raise InputError(
            "the imputer was made for another period", where=str(path), found=format_duration(period_ns),
            wanted=format_duration(imputer.period_ns), do=f"--every {format_duration(imputer.period_ns)}",
        )  # fmt: skip
    if lag is not None and imputer.lag != lag:
        raise ConfigError(
            "the imputer was made for another lag", where=str(path), found=f"--lag {lag}",
            wanted="no --lag" if imputer.lag is None else f"--lag {imputer.lag}", do="train it anew with this lag",
        )  # fmt: skip
