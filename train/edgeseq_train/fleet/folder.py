"""The folder of many bundles: a file for each series, and index.jsonl that says which; what is there is not made again.

    {"series":"pump 7/flow","file":"pump-7-flow-ab3de.edgeseq","key":"…","sha256":"…","model":"pump 7/flow 1f…"}

A line is added when its bundle is on the disk; so a run that was broken off goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from edgeseq.bundle import TrustedKeys, parse_bundle, write_bundle
from edgeseq.bundle.keys import SigningKey
from edgeseq.core.topics import slug
from edgeseq.errors import ConfigError, StorageError

INDEX = "index.jsonl"


class Entry(msgspec.Struct, frozen=True):
    """One line of the index."""

    series: str
    file: str
    key: str
    """Of the content: `task.content_key`."""
    sha256: str
    model: str
    """Name and id, as the manifest has them."""


def open_folder(folder: Path) -> dict[str, Entry]:
    """Make the folder, or read what is finished there → series → entry, of files that are whole.

    Raises:
        ConfigError: it cannot be made, or holds other things.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lines = (folder / INDEX).read_bytes().splitlines() if (folder / INDEX).exists() else []
    except OSError as fault:
        raise ConfigError(
            "the folder of bundles cannot be used", where=str(folder), found=fault.strerror,
            wanted="a folder that can be written", do="choose another with -o",
        ) from fault  # fmt: skip
    found = {}
    for line in lines:
        try:
            entry = msgspec.json.decode(line, type=Entry)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue  # torn where a run was broken off: its bundle is made again
        if _is_whole(folder, entry):
            found[entry.series] = entry
    write_index(folder, found.values())
    return found


def file_names(series: Iterable[str]) -> dict[str, str]:
    """Name the file of each series; two never share one.

    >>> file_names(["a/b", "a-b"])
    {'a/b': 'a-b.edgeseq', 'a-b': 'a-b-2rbwf.edgeseq'}
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for name in series:
        plain = slug(name)
        chosen = slug(name, distinct=True) if plain in taken else plain
        taken.add(chosen)
        names[name] = f"{chosen}.edgeseq"
    return names


def add(folder: Path, series: str, file: str, key: str, bundle: bytes, signer: SigningKey | None) -> Entry:
    """Sign a bundle as a worker gave it, write it, and add its line.

    Raises:
        BundleError: it is damaged, or the disk refuses.
        StorageError: the disk refuses.
    """
    path = folder / file
    given = parse_bundle(bundle, path, TrustedKeys(), allow_unsigned=True)
    digest = write_bundle(path, given.manifest, given.files, signer)
    entry = Entry(series, file, key, digest, given.manifest.label)
    try:
        with (folder / INDEX).open("ab") as index:
            index.write(msgspec.json.encode(entry) + b"\n")
    except OSError as fault:
        raise _refused(folder, fault) from fault
    return entry


def write_index(folder: Path, entries: Iterable[Entry]) -> None:
    """Write the whole index at once or not at all.

    Raises:
        StorageError: the disk refuses.
    """
    draft = folder / f".{INDEX}.{os.getpid()}.tmp"
    try:
        draft.write_bytes(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))
        draft.replace(folder / INDEX)
    except OSError as fault:
        raise _refused(folder, fault) from fault


def _is_whole(folder: Path, entry: Entry) -> bool:
    try:
        data = (folder / entry.file).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == entry.sha256


def _refused(folder: Path, fault: OSError) -> StorageError:
    return StorageError(
        "the index cannot be written",
        where=str(folder / INDEX),
        found=fault.strerror,
        do="make room and run the command again: what is finished is kept",
    )
