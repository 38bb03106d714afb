"""Recognise a reading that has been applied already, by bounded sets of recent identities.

Never by a high-water mark: readings arrive out of order after a broker's restart, and a mark would lose them.

Two sets, for two ways to come again. What a broker delivers again is what it had in flight, however it was spread
over the streams: the newest identities of the whole node cover it, also where one stream had sent all of it. What a
publisher sends again comes any time later: a few identities of each stream cover it, however busy the others were.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from edgeseq.core.rounds import rounds
from edgeseq.core.table import Column, Table
from edgeseq.core.types import I64, U64, Bool, Readings

RECENT_IDS = 32
"""Identities kept per stream and channel (32 x 8 bytes)."""

RECENT_IN_NODE = 8192
"""Identities kept of the whole node: more than are in flight (mqtt.inflight, 1000, times the fields of a message)."""

Recent = dict[bytes, None]
"""Stream index and identity of the node's newest readings, oldest first, two words in one text each: of 8192 keys each
is forgotten long after it was touched, when every object of it is a miss of the processor's cache."""


def columns(channels: int) -> dict[str, Column]:
    """Declare the state: a ring of hashes per stream, 32 for each of its channels."""
    return {
        "recent_ids": Column((RECENT_IDS * channels,), "uint64", 0, apart=True),
        "recent_position": Column((), "int64", 0),
    }


def remember(table: Table, rows: I64, readings: Readings) -> Bool:
    """Look up and remember identities; `rows` (n,) are the readings' rows in the table.

    Returns (n,): True where the reading was seen before. Duplicates are not remembered again.
    """
    ids = readings.id_hash
    duplicate = np.zeros(len(readings), dtype=np.bool_)
    recent = table["recent_ids"]
    for picked in rounds(rows) if np.count_nonzero(ids) else ():
        row, wanted = rows[picked], ids[picked]
        fresh = wanted != 0
        known = recent[row] == wanted[:, None]
        if np.count_nonzero(known):
            duplicate[picked] = known.any(axis=1) & readings.comparable[picked] & fresh
            fresh &= ~duplicate[picked]
        row, wanted = row[fresh], wanted[fresh]
        position = table["recent_position"][row]
        recent[row, position % recent.shape[1]] = wanted
        table["recent_position"][row] = position + 1
    return duplicate


def insert(table: Table, rows: I64, readings: Readings) -> None:
    """Remember identities that are known to be new, as a journal's are."""
    kept = np.flatnonzero(readings.id_hash != 0)
    order = kept[np.argsort(rows[kept], kind="stable")]
    ordered = rows[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    lengths = np.diff(starts, append=len(ordered))
    place = table["recent_position"][ordered] + np.arange(len(ordered)) - np.repeat(starts, lengths)
    # Of several in one place the last stays.
    table["recent_ids"][ordered, place % table["recent_ids"].shape[1]] = readings.id_hash[order]
    table["recent_position"][ordered[starts]] += lengths


def is_recent(recent: Recent, readings: Readings) -> Bool:
    """Look up identities among the node's newest and those earlier in the batch → (n,) True for duplicates."""
    duplicate = np.zeros(len(readings), dtype=np.bool_)
    keys = _keys(readings)
    if len(set(keys)) == len(keys) and recent.keys().isdisjoint(keys):
        return duplicate  # as nearly always
    batch: set[bytes] = set()
    places = np.flatnonzero(readings.id_hash).tolist()
    for i, key in zip(places, keys, strict=True):
        duplicate[i] = readings.comparable[i] and (key in recent or key in batch)
        batch.add(key)
    return duplicate


def may_be_forgotten(recent: Recent, readings: Readings, duplicate: Bool) -> bool:
    """Tell whether a duplicate (n,) would perhaps be none, had the readings before it come in a batch of their own."""
    if not np.count_nonzero(duplicate):
        return False
    making_room = set(islice(recent, max(0, len(recent) + len(readings) - RECENT_IN_NODE)))
    return len(readings) > RECENT_IN_NODE or not making_room.isdisjoint(_keys(readings.take(duplicate)))


def remember_in_node(recent: Recent, readings: Readings) -> None:
    """Remember the identities of readings that are no duplicates; the oldest make room."""
    keys = _keys(readings)
    new = dict.fromkeys(keys)
    if len(new) < len(keys) or len(keys) > RECENT_IN_NODE or not recent.keys().isdisjoint(keys):
        newest = list(islice(dict.fromkeys(reversed(keys)), RECENT_IN_NODE))
        for key in recent.keys() & newest:
            del recent[key]
        new = dict.fromkeys(reversed(newest))
    recent.update(new)
    for key in list(islice(recent, max(0, len(recent) - RECENT_IN_NODE))):
        del recent[key]


def dump_recent(recent: Recent) -> U64:
    """Give the node's newest identities as rows of stream index and identity (n, 2)."""
    return np.frombuffer(b"".join(recent), dtype=np.uint64).reshape(-1, 2)


def load_recent(rows: U64) -> Recent:
    """Read what `dump_recent` gave."""
    return dict.fromkeys(_as_keys(rows))


def _keys(readings: Readings) -> list[bytes]:
    """List stream and identity of the readings that have one."""
    words = np.empty((len(readings), 2), dtype=np.uint64)
    words[:, 0], words[:, 1] = readings.stream_index, readings.id_hash
    named = np.count_nonzero(words[:, 1])
    return _as_keys(words if named == len(words) else words[words[:, 1] != 0])


def _as_keys(words: U64) -> list[bytes]:
    """Join rows of two words (n, 2)."""
    keys: list[bytes] = np.ascontiguousarray(words).view(_KEY)[:, 0].tolist()
    return keys


_KEY = np.dtype("V16")
