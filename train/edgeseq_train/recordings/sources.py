"""Files and folders as candidates: which files there are, and how those of a folder belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from edgeseq.errors import InputError
from edgeseq_train.recordings import homeassistant, influx
from edgeseq_train.recordings.choose import listed
from edgeseq_train.recordings.kinds import WANTED, kind_of, unknown
from edgeseq_train.recordings.layout import EACH_FILE, Part, part_of
from edgeseq_train.recordings.request import Request
from edgeseq_train.recordings.series import Candidate, Loaded, Series
from edgeseq_train.recordings.tables import load

SUFFIXES = (".csv", ".tsv", ".parquet", ".gz", ".db", ".lp")


def candidates_of(paths: Sequence[Path], request: Request) -> list[Candidate]:
    """List the channels of files and folders.

    Raises:
        InputError: a file cannot be read, or there is none.
    """
    files = [file for path in paths for file in (_listed(path, request) if path.is_dir() else [path])]
    if len(files) == 1:
        return _part(files[0], request).candidates
    parts = []
    said: dict[str, list[str]] = {}
    for k, file in enumerate(files):
        request.progress(f"file {k + 1} of {len(files)}: {file.name}", k / len(files))
        tell = partial(_note, said, file.name)
        parts.append(_part(file, replace(request, say=tell)))
    for text, names in said.items():
        request.say(text if len(names) == len(files) else f"{listed(names)}: {text}")
    return _joined(files, parts, request)


def _note(said: dict[str, list[str]], name: str, text: str) -> None:
    said.setdefault(text, []).append(name)


def _listed(folder: Path, request: Request) -> list[Path]:
    """List the files of a folder that are recordings, by name; the others are told."""
    found = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    # What calls itself a recording must be one; what does not may be a licence or notes.
    files = [p for p in found if p.is_file() and (p.suffix.lower() in SUFFIXES or kind_of(p))]
    left = [p.name + ("/" if p.is_dir() else "") for p in found if p not in files]
    if not files:
        raise InputError(
            "the folder has no recording",
            where=str(folder),
            found=", ".join(left)[:200] or "nothing",
            wanted=WANTED,
            do="name the folder that holds the files themselves" if any(p.is_dir() for p in found) else None,
        )
    if left:
        request.say(f"left out, for they are no recordings: {', '.join(left)}")
    return files


def _part(path: Path, request: Request) -> Part:
    kind = kind_of(path)
    if kind is None:
        raise unknown(path)
    request.progress(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB", 0.0)
    if kind == "sqlite":
        return Part(homeassistant.candidates_of(path, request), None)
    if kind == "lines":
        return Part(influx.candidates_of(path, request), None)
    return part_of(load(path, kind, request.say), request)


# --- several files ----------------------------------------------------------------------------------------------


def _joined(files: Sequence[Path], parts: Sequence[Part], request: Request) -> list[Candidate]:
    """Put files together: one after the other where they are pieces of one recording, else each with its own series."""
    if EACH_FILE in request.series:
        return _side_by_side(files, parts)
    names = [{(c.stream, c.channel) for c in part.candidates} for part in parts]
    if sum(map(len, names)) == len(set().union(*names)):
        return [c for part in parts for c in part.candidates]
    if all(n == names[0] for n in names) and _is_in_turn(parts):
        if all(part.span_ns for part in parts):
            request.say(
                f"{len(files)} files of the same columns, one after the other in time: read as one recording"
                f" (--series {EACH_FILE} if each is a series)"
            )
            parts = sorted(parts, key=lambda part: part.span_ns or (0, 0))
        return [
            _one_after_the_other([p for part in parts for p in part.candidates if _same(p, c)])
            for c in parts[0].candidates
        ]
    request.say(f"{len(files)} files of other columns or of times that overlap: each has its own series")
    return _side_by_side(files, parts)


def _same(a: Candidate, b: Candidate) -> bool:
    return (a.stream, a.channel) == (b.stream, b.channel)


def _is_in_turn(parts: Sequence[Part]) -> bool:
    """Tell pieces in time from recordings of the same time. Of databases and exports only pieces are thinkable."""
    spans = sorted(part.span_ns for part in parts if part.span_ns)
    return all(a[1] <= b[0] for a, b in pairwise(spans))


def _one_after_the_other(pieces: Sequence[Candidate]) -> Candidate:
    def load_all() -> Loaded:
        loaded = [piece.load() for piece in pieces]
        read = [part for part in loaded if isinstance(part, Series)]
        if not read:
            return loaded[0]
        units = {s.unit for s in read if s.unit}
        if len(units) > 1:
            raise InputError(
                f"the readings of {read[0].name} have several units",
                where=", ".join(s.where for s in read)[:300],
                found=", ".join(sorted(units)),
                wanted="one unit for each channel",
                do="read the files of one unit only, or convert them to one",
            )
        return replace(
            read[0], unit=next(iter(units), None),
            time_ns=np.concatenate([s.time_ns for s in read]), values=np.concatenate([s.values for s in read]),
        )  # fmt: skip

    return replace(pieces[0], load=load_all)


def _side_by_side(files: Sequence[Path], parts: Sequence[Part]) -> list[Candidate]:
    """Name the series by their files, and by their columns where a file has several."""
    return [
        _renamed(
            c, " ".join(filter(None, (_stem(file), c.stream))), c.channel if len(part.candidates) > 1 else ""
        )
        for file, part in zip(files, parts, strict=True)
        for c in part.candidates
    ]


def _renamed(candidate: Candidate, stream: str, channel: str) -> Candidate:
    def load_renamed() -> Loaded:
        read = candidate.load()
        return replace(read, stream=stream, channel=channel) if isinstance(read, Series) else read

    return replace(candidate, stream=stream, channel=channel, load=load_renamed)


def title_of(path: Path) -> str:
    """Name what is made of a recording after its file or folder.

    >>> title_of(Path("a/hall.csv.gz")), title_of(Path("hall.2026.csv")), title_of(Path("hall.influx"))
    ('hall', 'hall.2026', 'hall')
    """
    name = _stem(path)
    return path.stem if name == path.name else name


def _stem(path: Path) -> str:
    """Name a file without what tells its kind.

    >>> _stem(Path("a/hall.csv.gz"))
    'hall'
    """
    name = path.name
    for suffix in (".gz", ".csv", ".tsv", ".txt", ".parquet", ".lp", ".db"):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return name
