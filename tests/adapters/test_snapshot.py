"""The snapshot on real files."""

from __future__ import annotations

import errno
import struct
from pathlib import Path
from zlib import compress, crc32

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


def test_snapshot_is_compressed_where_that_helps(tmp_path: Path) -> None:
    """What repeats takes little room, noise takes no more than its own, and both come back bit for bit."""
    random = np.random.default_rng(1)
    arrays = {"repeats": np.zeros((100, 100)), "noise": random.integers(0, 2**63, 5000)}
    snapshot.write(tmp_path / "s", 1, {}, {}, arrays, Disk())
    length = (tmp_path / "s").stat().st_size
    assert arrays["noise"].nbytes < length < arrays["noise"].nbytes + 1000
    found = snapshot.read(tmp_path / "s", 1)
    assert found is not None
    assert all(found.arrays[name].tobytes() == array.tobytes() for name, array in arrays.items())


def test_snapshot_of_version_1_read(tmp_path: Path) -> None:
    """Before there was compression, entries had three parts; a daemon of today goes on from such a state."""
    path = tmp_path / "s"
    header = b'{"generation":3,"fingerprint":{},"arrays":[["a","<f8",[2]]],"content":{}}'
    body = header + np.array([1.5, 2.5]).tobytes()
    path.write_bytes(struct.pack("<8sIIQ", b"EDGESEQS", 1, crc32(body), len(header)) + body)
    found = snapshot.read(path, 3)
    assert found is not None
    assert found.arrays["a"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("shape", [[1], [3], [2**40]])
def test_snapshot_whose_array_is_of_another_length_refused(tmp_path: Path, shape: list[int]) -> None:
    """Bytes that decompress to less or more than the shape says are no array, and never take more room than it."""
    small = compress(np.array([1.5, 2.5]).tobytes())
    entry = f'["a","<f8",{shape},{len(small)}]'.encode()
    header = b'{"generation":3,"fingerprint":{},"arrays":[' + entry + b'],"content":{}}'
    body = header + small
    data = struct.pack("<8sIIQ", b"EDGESEQS", 2, crc32(body), len(header)) + body
    found = snapshot.parse(data, 3)
    assert found is None
