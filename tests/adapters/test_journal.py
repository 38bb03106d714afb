"""The journal on real files."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.adapters import journal
from edgeseq.core.types import READING_DTYPES, Readings, StreamInfo
from edgeseq.disk import Disk
from edgeseq.errors import StorageError
from edgeseq.testing import FaultyDisk

INFO = StreamInfo("cellar-temperature", "zigbee2mqtt/+", "zigbee2mqtt/cellar", "temperature", 7)


def readings(count: int, seed: int = 0) -> Readings:
    """Make columns that use each dtype's range, NaN included."""
    random = np.random.default_rng(seed)
    columns: list[Any] = []
    for dtype in READING_DTYPES:
        raw = random.integers(0, 256, count * np.dtype(dtype).itemsize, dtype=np.uint8)
        columns.append(raw.view(dtype) if dtype is not np.bool_ else raw > 127)
    return Readings(*columns)


def is_equal(a: Readings, b: Readings) -> bool:
    """Compare bit for bit."""
    return all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in a.__slots__)


@pytest.mark.parametrize("count", [0, 1, 512])
def test_journal_batch_read_back_bit_equal(tmp_path: Path, count: int) -> None:
    """What was committed is read back bit for bit, with dtypes, in order."""
    path = tmp_path / "j"
    opened = journal.begin(path, 3, Disk())
    opened.append([INFO], readings(count))
    opened.append_tick(99)
    opened.append_resumption(100)
    opened.append([], readings(count, seed=1))
    opened.close()
    first, tick, resumption, second = journal.read(path, 3).records
    assert first.created == [INFO]
    assert is_equal(first.readings(), readings(count))
    assert [getattr(first.readings(), n).dtype for n in Readings.__slots__] == [
        np.dtype(t) for t in READING_DTYPES
    ]
    assert (tick.tick_ns, tick.resumed_ns, len(tick.readings())) == (99, None, 0)
    assert (resumption.tick_ns, resumption.resumed_ns, len(resumption.readings())) == (None, 100, 0)
    assert is_equal(second.readings(), readings(count, seed=1))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[int]]:
    """Give a journal of three records and where each begins; the last entry is the length."""
    path = tmp_path_factory.mktemp("journal") / "j"
    opened = journal.begin(path, 1, Disk())
    starts = [opened.length_bytes]
    for seed in range(3):
        opened.append([INFO], readings(5, seed))
        starts.append(opened.length_bytes)
    opened.close()
    return path.read_bytes(), starts


def test_journal_torn_anywhere_keeps_whole_records(three: tuple[bytes, list[int]], tmp_path: Path) -> None:
    """Cut at any byte, a journal gives the records that are complete and calls the rest torn, never corrupt."""
    data, starts = three
    path = tmp_path / "j"
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        contents = journal.read(path, 1)
        assert len(contents.records) == sum(length >= end for end in starts[1:])
        assert contents.corrupt_bytes == 0
        assert contents.length_bytes + contents.torn_bytes == length


def test_journal_zeros_after_power_cut_are_torn(three: tuple[bytes, list[int]], tmp_path: Path) -> None:
    """A tail of zeros, as file systems leave after a power cut, is a torn tail."""
    data, starts = three
    path = tmp_path / "j"
    path.write_bytes(data[: starts[2]] + bytes(4096))
    contents = journal.read(path, 1)
    assert (len(contents.records), contents.torn_bytes, contents.corrupt_bytes) == (2, 4096, 0)


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_journal_flipped_bit_never_read_as_data(
    three: tuple[bytes, list[int]], tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    """A flipped bit ends the reading before its record; damage before the last record is told from a torn tail."""
    data, starts = three
    place %= len(data)
    flipped = bytearray(data)
    flipped[place] ^= 1 << bit
    path = tmp_path_factory.mktemp("flip") / "j"
    path.write_bytes(flipped)
    contents = journal.read(path, 1)
    whole = sum(place >= end for end in starts[1:])
    is_header = place < starts[0]
    assert len(contents.records) == (0 if is_header else whole)
    assert bool(contents.corrupt_bytes) == (is_header or whole < 2)


def test_journal_of_another_generation_not_read(three: tuple[bytes, list[int]], tmp_path: Path) -> None:
    """A journal renamed to another generation's name gives nothing."""
    path = tmp_path / "j"
    path.write_bytes(three[0])
    assert journal.read(path, 2).records == []
    assert journal.read(path, 2).corrupt_bytes == len(three[0])


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("fail_at", [1, 2])
def test_journal_failed_append_tried_again_once_in_file(tmp_path: Path, error: int, fail_at: int) -> None:
    """An append that fails (write torn, or sync) raises; tried again, the record stands in the file once."""
    path = tmp_path / "j"
    opened = journal.begin(path, 1, Disk())
    opened.append([INFO], readings(3))
    opened._disk = FaultyDisk(fail_at, error=error, is_torn=True)
    with pytest.raises(StorageError, match="journal cannot be written") as fault:
        opened.append([], readings(4, seed=1))
    assert fault.value.where == str(path)
    assert len(journal.read(path, 1).records) <= 2
    opened.append([], readings(4, seed=1))
    opened.append([], readings(2, seed=2))
    opened.close()
    contents = journal.read(path, 1)
    assert [len(r.readings()) for r in contents.records] == [3, 4, 2]
    assert (contents.torn_bytes, contents.corrupt_bytes) == (0, 0)


def test_journal_resumed_after_torn_tail_goes_on(three: tuple[bytes, list[int]], tmp_path: Path) -> None:
    """A journal opened after a torn write is cut there, and goes on."""
    data, starts = three
    path = tmp_path / "j"
    path.write_bytes(data[: starts[2] + 9])
    contents = journal.read(path, 1)
    opened = journal.resume(path, contents.length_bytes, Disk())
    opened.append([], readings(8))
    opened.close()
    assert [len(r.readings()) for r in journal.read(path, 1).records] == [5, 5, 8]
