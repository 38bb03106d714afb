"""Where training stands, in a file beside the bundle: a run that was stopped goes on as if it never had been.

It holds weights, their average, the optimizer's moments, the carried states and lanes, the state of chance, and the
best weights so far. It is written at every validation, and belongs to one recording and recipe.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeseq.bundle.archive import dump_arrays, load_arrays
from edgeseq.core.types import F32
from edgeseq.errors import BundleError, ConfigError
from edgeseq_train.history import Note

SUFFIX = ".checkpoint.npz"
_HEADER = "header"


@dataclass(slots=True)
class Checkpoint:
    """The file, and whether to begin from it."""

    path: Path
    resume: bool = False
    finished: bool = False
    """Set when training has come to its end: then nothing is left to go on with."""

    def remove_if_finished(self) -> None:
        """Remove the file once what it was for is done."""
        if self.finished:
            self.path.unlink(missing_ok=True)

    def check(self) -> None:
        """Find out before anything else whether there is something to resume.

        Raises:
            ConfigError: there is no such file.
        """
        if self.resume and not self.path.is_file():
            raise ConfigError(
                "there is nothing to resume", where="--resume", found=f"no {self.path}",
                wanted="the checkpoint that a stopped training left beside its bundle",
                do="train without --resume, or name the same bundle with -o",
            )  # fmt: skip


@dataclass(slots=True)
class Course:
    """How far training has come, beside its weights."""

    best: float
    """Lowest validation loss."""
    kept: dict[str, F32]
    """The weights that had it."""
    notes: list[Note]
    step: int = 0
    best_step: int = 0
    rate_factor: float = 1.0
    rate_step: int = 0
    """Step of the last lowering of the rate, or of the last gain: what `plateau` waits from."""
    since: list[tuple[float, float]] = field(default_factory=list)
    """Loss and gradient norm of the steps since the last validation."""


def dump(
    course: Course, fingerprint: str, chance: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> bytes:
    """Write all of it: the course, the state of the random generator, named arrays."""
    header = {
        "fingerprint": fingerprint, "chance": chance, "best": course.best, "step": course.step,
        "best_step": course.best_step, "rate_factor": course.rate_factor, "rate_step": course.rate_step,
        "notes": [asdict(note) for note in course.notes],
    }  # fmt: skip
    kept = {f"kept/{name}": a for name, a in course.kept.items()}
    text = np.frombuffer(json.dumps(header).encode(), np.uint8)
    return dump_arrays({_HEADER: text, **kept, **arrays})


def save(path: Path, data: bytes) -> None:
    """Replace the file as a whole, so that a crash leaves the one before."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def load(path: Path, fingerprint: str) -> tuple[Course, Mapping[str, Any], dict[str, NDArray[Any]]]:
    """Read it back: the course, the state of the random generator, named arrays.

    Raises:
        ConfigError: the file is no checkpoint, or one of another recording or recipe.
    """
    try:
        arrays: dict[str, NDArray[Any]] = dict(load_arrays(path.read_bytes(), str(path)))
        header = json.loads(arrays.pop(_HEADER).tobytes())
    except (OSError, BundleError, ValueError, KeyError) as error:
        raise ConfigError(
            "the checkpoint cannot be read", where=str(path), found=str(error), do="train without --resume"
        ) from error
    if header["fingerprint"] != fingerprint:
        raise ConfigError(
            "the checkpoint belongs to another training", where=str(path), found=header["fingerprint"],
            wanted=f"{fingerprint}: the same recording, recipe and seed", do="train without --resume",
        )  # fmt: skip
    kept = {name.removeprefix("kept/"): arrays.pop(name) for name in list(arrays) if name.startswith("kept/")}
    notes = [Note(**note) for note in header["notes"]]
    course = Course(
        header["best"], kept, notes, header["step"], header["best_step"], header["rate_factor"], header["rate_step"]
    )  # fmt: skip
    return course, header["chance"], arrays
