"""The short form of `make fuzz`: every target takes its own seeds, damaged ones, and what it once failed on."""

from __future__ import annotations

import importlib
import struct
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseq.bundle.archive import pack
from edgeseq.core.decode import decode
from edgeseq.core.registry import Registry
from edgeseq.core.types import Message, Options, StreamRule
from tests.fuzz import bundle, influx, packet, snapshot
from tests.fuzz.damage import offer
from tests.fuzz.run import TARGETS
from tests.support.tiny_bundle import tiny_bundle_path

short = settings(max_examples=100)

EDITS = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 3), st.binary(max_size=4)), max_size=5)
"""Place, bytes that go there, bytes that come instead."""


def damaged(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Change an input in some places."""
    for place, gone, come in edits:
        at = place % (len(data) + 1)
        data = data[:at] + come + data[at + gone :]
    return data


WHOLE = {"payload": (1, 1), "packet": (1,)}
"""Target → arguments by which it leaves nothing out."""


@pytest.mark.parametrize("name", TARGETS)
def test_target_keeps_its_laws_on_seeds_and_what_is_like_them(name: str) -> None:
    """Whatever is read becomes a value or a documented error; a node that was sent it keeps its books."""
    target = importlib.import_module(f"tests.fuzz.{name}")
    seeds = target.seeds()
    check = target.new(*WHOLE.get(name, ()))
    for seed in seeds:
        check(seed)

    @short
    @given(st.lists(st.tuples(st.sampled_from(seeds), EDITS), min_size=1, max_size=8))
    def law(inputs: list[tuple[bytes, list[tuple[int, int, bytes]]]]) -> None:
        for seed, edits in inputs:
            check(damaged(seed, edits))

    law()


def test_negative_zero_is_the_reading_zero_whatever_the_node_knows_of_a_topic() -> None:
    """The first message of a topic is read in another way than later ones: value and identity are the same."""
    rule = StreamRule("plain", 10**9, topics=("t/+",), id_field=None)
    registry = Registry([rule])
    texts = (b"-0", b"0", b"-0.0", b"-0", b"-0e5")
    values = [
        decode(registry, Options(), [Message("t/a", text, 1, mid=3)])[0].value.tobytes() for text in texts
    ]
    assert set(values) == {bytes(8)}


def header(text: bytes) -> bytes:
    """Make the beginning of a .npy file with a header of our own."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def unlisted() -> bytes:
    """Give a manifest whose variant names a file that is there and not listed."""
    manifest, _, _ = bundle.parts()
    return msgspec.json.encode(msgspec.structs.replace(manifest, files={}))


FOUND: dict[str, tuple[ModuleType, bytes]] = {
    "arrays that are no arrays": (bundle, bytes([bundle.GOLDEN_ARRAYS]) + pack({"x": b"no array"})),
    "array header not closed": (bundle, bytes([bundle.ARRAY]) + header(b"{'shape': (1L,\n")),
    "array header asks for terabytes": (
        bundle,
        bytes([bundle.ARRAY])
        + header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }\n"),
    ),
    "variant's file not listed": (bundle, bytes([bundle.DESCRIPTION]) + unlisted()),
    "refusal that MQTT does not know": (packet, b"\x86\0\x40\3\4\0\x82"),
    "series that ends in a backslash": (influx, b"\0\0a,b\\\\ c=1"),
    "snapshot of no text": (
        snapshot,
        b'\1{"generation":4,"fingerprint":{"\xff":"1"},"arrays":[],"content":{}}',
    ),
    "snapshot shorter than its arrays": (snapshot, b"\3\0\1\4"),
    "snapshot of odd numbers": (snapshot, b"\3\7\1\1"),
    "snapshot of many dimensions": (snapshot, b"\3\0\4\3\x09\x09\x09"),
}
"""What once raised something else than is documented."""


@pytest.mark.parametrize("what", FOUND)
def test_what_once_failed_is_a_value_or_a_documented_error(what: str) -> None:
    """Faults that fuzzing has found stay mended."""
    target, data = FOUND[what]
    target.new(*WHOLE.get(target.__name__.rpartition(".")[2], ()))(data)


@pytest.fixture(scope="session")
def tiny(request: pytest.FixtureRequest) -> Path:
    """Give the path of the tiny bundle."""
    return tiny_bundle_path(request.config)


@pytest.mark.parametrize(("kind", "count"), [("bundles", 6), ("models", 4)])
def test_damaged_bundle_offered_to_a_daemon_refused_and_the_good_one_serves(
    tiny: Path, tmp_path: Path, kind: str, count: int
) -> None:
    """The daemon lives and goes on with the bundle it has, unless the other one computes the same."""
    told = offer(kind, tiny, tmp_path, range(count))
    offered, refused = (
        told["daemon: refused"] + told["daemon: taken, with the same values"],
        told["daemon: refused"],
    )
    assert offered == count if kind == "bundles" else told.total() - offered == count
    assert refused > 0
