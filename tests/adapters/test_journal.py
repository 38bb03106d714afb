"""The journal on real files."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.adapters import journal
from edgeseq.adapters.journal import Contents, Journal, Record, record_of
from edgeseq.core.types import READING_DTYPES, Readings, StreamInfo
from edgeseq.disk import Disk
from edgeseq.errors import StorageError
from edgeseq.testing import FaultyDisk
from tests.simulator.disk import SimulatedDisk
from tests.simulator.faults import Faults

INFO = StreamInfo("cellar-temperature", "zigbee2mqtt/+", "zigbee2mqtt/cellar", "temperature", 7)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files be small."""
    monkeypatch.setattr(journal, "CHUNK_BYTES", 4096)


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


def frame(seed: int, count: int = 5) -> list[Record]:
    """Make the records of one commit."""
    return [record_of([INFO], readings(count, seed))]


def lengths(contents: Contents) -> list[list[int]]:
    """Count the readings of each record of each frame."""
    return [[len(record.readings()) for record in records] for records in contents.frames]


def begin(path: Path, generation: int = 1, first: int = 0, disk: Disk | None = None) -> Journal:
    """Begin a journal."""
    return journal.begin(path, generation, first, disk or Disk())


@pytest.mark.parametrize("count", [0, 1, 512])
def test_journal_batch_read_back_bit_equal(tmp_path: Path, count: int) -> None:
    """What was committed is read back bit for bit, with dtypes, in order, commit by commit."""
    path = tmp_path / "j"
    opened = begin(path, 3)
    opened.commit([record_of([INFO], readings(count)), Record(tick_ns=99), Record(resumed_ns=100)])
    opened.commit([record_of([], readings(count, seed=1))])
    opened.close()
    (first, tick, resumption), (second,) = journal.read(path, 3).frames
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
    """Give a journal of three frames and where each begins; the last entry is where they end."""
    path = tmp_path_factory.mktemp("journal") / "j"
    opened = begin(path)
    starts = [opened.length_bytes]
    for seed in range(3):
        opened.commit(frame(seed))
        starts.append(opened.length_bytes)
    opened.close()
    return path.read_bytes()[: starts[-1] + 512], starts


def test_journal_torn_anywhere_keeps_whole_frames(three: tuple[bytes, list[int]]) -> None:
    """Cut at any byte, a journal gives the frames that are complete and calls the rest torn, never corrupt."""
    data, starts = three
    for length in range(starts[0], starts[-1] + 1):
        contents = journal.parse(data[:length], 1)
        assert len(contents.frames) == sum(length >= end for end in starts[1:])
        assert contents.corrupt_bytes == 0
        assert contents.length_bytes + contents.torn_bytes == length


def test_journal_torn_into_prepared_room_keeps_whole_frames(three: tuple[bytes, list[int]]) -> None:
    """A last write of which only the beginning reached the room made for it is torn, never corrupt."""
    data, starts = three
    for length in range(starts[2] + 1, starts[3]):
        contents = journal.parse(data[:length] + bytes(len(data) - length), 1)
        assert (len(contents.frames), contents.corrupt_bytes, contents.length_bytes) == (2, 0, starts[2])
        assert contents.torn_bytes > 0 or length < starts[2] + 8


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_journal_flipped_bit_never_read_as_data(three: tuple[bytes, list[int]], place: int, bit: int) -> None:
    """A flipped bit ends the reading before its frame; damage before the last frame is told from a torn tail."""
    data, starts = three
    place %= starts[-1]
    flipped = bytearray(data)
    flipped[place] ^= 1 << bit
    contents = journal.parse(bytes(flipped), 1)
    whole = sum(place >= end for end in starts[1:])
    is_header = place < starts[0]
    assert len(contents.frames) == (0 if is_header else whole)
    assert bool(contents.corrupt_bytes) == (is_header or whole < 2)
    assert bool(contents.torn_bytes) == (not is_header and whole == 2)


def test_journal_of_another_generation_not_read(three: tuple[bytes, list[int]]) -> None:
    """A journal renamed to another generation's name gives nothing."""
    data, _ = three
    assert journal.parse(data, 2).frames == []
    assert journal.parse(data, 2).corrupt_bytes == len(data)


@given(data=st.binary(max_size=300), cut=st.integers(0, 2000))
def test_journal_any_bytes_are_a_value(three: tuple[bytes, list[int]], data: bytes, cut: int) -> None:
    """No bytes make the reader raise, in place of the frames or behind some of them."""
    journal.parse(data, 1)
    found = journal.parse(three[0][:cut] + data, 1)
    assert len(found.frames) <= 3


def test_journal_in_used_file_does_not_see_what_it_held(tmp_path: Path) -> None:
    """Frames of an older generation, which stand behind every end in a file used again, are never read, wherever the
    new ones end: they are neither data nor damage.
    """
    older = begin(tmp_path / "journal-1.bin")
    for seed in range(20):
        older.commit(frame(seed))
    older.close()
    (tmp_path / "journal-1.bin").rename(tmp_path / journal.SPARE)
    path = tmp_path / "journal-2.bin"
    newer = begin(path, 2, first=20)
    assert not (tmp_path / journal.SPARE).exists()
    for count in range(20):
        contents = journal.read(path, 2)
        assert lengths(contents) == [[5]] * count
        assert (contents.torn_bytes, contents.corrupt_bytes, contents.next) == (0, 0, 20 + count)
        newer.commit(frame(count))
    newer.close()


def test_journal_does_not_use_a_file_whose_frames_may_check(tmp_path: Path) -> None:
    """Where somebody has removed all but the spare file, generations begin anew: what it holds of them is of before."""
    before = begin(tmp_path / "journal-1.bin")
    for seed in range(3):
        before.commit(frame(seed))
    before.close()
    (tmp_path / "journal-1.bin").rename(tmp_path / journal.SPARE)
    anew = begin(tmp_path / "journal-1.bin")
    anew.commit(frame(0))
    anew.close()
    contents = journal.read(tmp_path / "journal-1.bin", 1)
    assert (lengths(contents), contents.corrupt_bytes) == ([[5]], 0)


def test_journal_file_grows_by_chunks_that_are_written(tmp_path: Path) -> None:
    """Room is made before it is needed, by zeros that are written: blocks merely reserved cost metadata later."""
    path = tmp_path / "j"
    opened = begin(path)
    sizes = set()
    while opened.length_bytes < 2 * journal.CHUNK_BYTES:
        opened.commit(frame(1, 50))
        sizes.add(path.stat().st_size)
    opened.close()
    assert sizes == {k * journal.CHUNK_BYTES for k in (1, 2, 3)}
    assert path.stat().st_blocks * 512 >= path.stat().st_size
    assert journal.read(path, 1).corrupt_bytes == 0


class PageCounter(Disk):
    """Notes which pages each write touches."""

    def __init__(self) -> None:
        self.pages: list[set[int]] = []

    def write(self, file: int, data: bytes, offset: int) -> None:
        """Write and note; zeros for room to come do not count."""
        length = len(data.rstrip(b"\0"))
        self.pages.append(set(range(offset // 4096, (offset + length - 1) // 4096 + 1)))
        super().write(file, data, offset)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=12))
def test_journal_commit_writes_no_more_pages_than_it_needs(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int]
) -> None:
    """A frame is never spread over one page more than its length demands, and all are found again."""
    path, disk = tmp_path_factory.mktemp("pages") / "j", PageCounter()
    opened = begin(path, disk=disk)
    for seed, count in enumerate(counts):
        opened.commit(frame(seed, count))
    opened.close()
    contents = journal.read(path, 1)
    assert lengths(contents) == [[count] for count in counts]
    assert (contents.torn_bytes, contents.corrupt_bytes) == (0, 0)
    for seed, count in enumerate(counts):
        needed = len(msgspec.msgpack.encode(frame(seed, count))) + 24
        assert len(disk.pages[1 + seed]) <= -(-needed // 4096)


def test_journal_damaged_frame_at_a_page_is_told(tmp_path: Path) -> None:
    """Damage is told from a torn end where frames begin with pages, too."""
    path = tmp_path / "j"
    opened = begin(path)
    ends = []
    for seed in range(4):
        opened.commit(frame(seed, 100))
        ends.append(opened.length_bytes)
    opened.close()
    data = bytearray(path.read_bytes())
    data[ends[1] - 9] ^= 4
    damaged = journal.parse(bytes(data), 1)
    assert (len(damaged.frames), damaged.corrupt_bytes) == (1, len(data) - ends[0])
    data = bytearray(path.read_bytes())
    data[ends[3] - 9] ^= 4
    torn = journal.parse(bytes(data), 1)
    assert (len(torn.frames), torn.corrupt_bytes, torn.torn_bytes) == (3, 0, ends[3] - ends[2])


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("fail_at", [1, 2])
def test_journal_failed_commit_told_and_sync_no_longer_trusted(
    tmp_path: Path, error: int, fail_at: int
) -> None:
    """A commit that fails raises; after a failed write it may be repeated in the file, where it stands once; after a
    failed sync the file is suspect.
    """
    path = tmp_path / "j"
    opened = begin(path)
    opened.commit(frame(0, 3))
    opened._disk = FaultyDisk(fail_at, error=error, is_torn=True)
    with pytest.raises(StorageError, match="journal cannot be written") as fault:
        opened.commit(frame(1, 4))
    assert fault.value.where == str(path)
    assert len(journal.read(path, 1).frames) <= 2
    assert opened.is_suspect is (fail_at == 2)
    opened.commit(frame(1, 4))
    opened.commit(frame(2, 2))
    opened.close()
    contents = journal.read(path, 1)
    assert lengths(contents) == [[3], [4], [2]]
    assert (contents.torn_bytes, contents.corrupt_bytes) == (0, 0)


def test_journal_resumed_after_torn_tail_goes_on(three: tuple[bytes, list[int]], tmp_path: Path) -> None:
    """A journal opened after a torn write is cut there, and goes on; its name is made durable, too."""
    data, starts = three
    path = tmp_path / "j"
    path.write_bytes(data[: starts[2] + 30] + bytes(100))
    disk = FaultyDisk()
    opened = journal.resume(path, 1, journal.read(path, 1), disk)
    assert disk.names == ["reopen", "truncate", "write", "sync", "sync_folder"]
    opened.commit(frame(7, 8))
    opened.close()
    contents = journal.read(path, 1)
    assert lengths(contents) == [[5], [5], [8]]
    assert (contents.first, contents.next) == (0, 3)


def test_journal_resumed_after_failed_sync_is_on_the_medium(tmp_path: Path) -> None:
    """A frame that a failed sync left in the page cache alone, marked clean, survives a restart and a power cut."""
    path, random = tmp_path / "j", Random(1)
    disk = SimulatedDisk(tmp_path, Faults(random), random)
    opened = journal.begin(path, 1, 0, disk)
    opened.commit(frame(0, 3))
    opened._disk = FaultyDisk(2, error=errno.EIO)
    with pytest.raises(StorageError, match="journal cannot be written"):
        opened.commit(frame(1, 4))
    opened.close()
    resumed = journal.resume(path, 1, journal.read(path, 1), disk)
    resumed.commit(frame(2, 2))
    resumed.close()
    disk.cut_power()
    assert lengths(journal.read(path, 1)) == [[3], [4], [2]]
