"""The snapshot on real files."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgeseq.adapters import snapshot
from edgeseq.disk import Disk
from edgeseq.errors import StorageError
from edgeseq.testing import FaultyDisk

ARRAYS: dict[str, NDArray[np.generic]] = {
    "ring": np.arange(12, dtype=np.float32).reshape(3, 4),
    "empty": np.empty((0, 5), dtype=np.uint64),
    "flags": np.array([True, False]),
    "scalar": np.array(3, dtype=np.int64),
    "nan": np.array([np.nan, np.inf, -0.0]),
    "transposed": np.arange(6, dtype=np.int16).reshape(2, 3).T,
}
CONTENT = {"streams": ["ä", "b"], "seq": 17, "nested": {"x": None}}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Give a snapshot file of generation 4."""
    path = tmp_path / "s"
    snapshot.write(path, 4, {"edgeseq": "1"}, CONTENT, ARRAYS, Disk())
    return path


def test_snapshot_read_back_bit_equal(written: Path) -> None:
    """Header and arrays come back bit for bit, with dtype and shape, and can be changed in place."""
    found = snapshot.read(written, 4)
    assert found is not None
    assert (found.content, found.fingerprint) == (CONTENT, {"edgeseq": "1"})
    assert list(found.arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (found.arrays[name].dtype, found.arrays[name].shape) == (array.dtype, array.shape)
        assert found.arrays[name].tobytes() == array.tobytes()
        assert found.arrays[name].flags.writeable


def test_snapshot_of_another_generation_not_read(written: Path) -> None:
    """A snapshot under another generation's name is none."""
    assert snapshot.read(written, 5) is None


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_snapshot_flipped_bit_refused(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    """One flipped bit anywhere, and it is none."""
    path = tmp_path_factory.mktemp("flip") / "s"
    snapshot.write(path, 4, {}, CONTENT, ARRAYS, Disk())
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)
    assert snapshot.read(path, 4) is None


def test_snapshot_cut_anywhere_refused(written: Path) -> None:
    """Cut at any byte, it is none."""
    data = written.read_bytes()
    for length in range(len(data)):
        written.write_bytes(data[:length])
        assert snapshot.read(written, 4) is None


def test_snapshot_python_objects_refused(tmp_path: Path) -> None:
    """Objects would need pickle: our own mistake, so it crashes."""
    with pytest.raises(TypeError, match="holds Python objects"):
        snapshot.write(tmp_path / "s", 1, {}, {}, {"x": np.array([{}], dtype=object)}, Disk())


def test_snapshot_disk_full_old_one_stays(written: Path) -> None:
    """Whatever call of writing fails, the error says so and the old snapshot or the new one is there."""
    fail_at, is_done, told = 0, False, set()
    while not is_done:
        fail_at += 1
        disk = FaultyDisk(fail_at, error=errno.ENOSPC, is_torn=True)
        try:
            snapshot.write(written, 4, {}, {"try": fail_at}, ARRAYS, disk)
            is_done = True
        except StorageError as fault:
            told.add(fault.found)
        found = snapshot.read(written, 4)
        assert found is not None
        assert found.content in (CONTENT, {"try": fail_at}, {"try": fail_at - 1})
    assert (told, fail_at > 8) == ({"No space left on device"}, True)
