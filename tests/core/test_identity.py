"""Identities: what tells readings apart, and what does not."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.core.identity import FEW, Identity, identities, name_seed, packet_seed, session_seed

ROWS = st.tuples(
    st.sampled_from(list(Identity)),
    st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2),
    st.integers(0, 3),
    st.floats() | st.sampled_from([0.0, 1.0]),
)


def identity(*rows: tuple[Identity, int, int, float]) -> list[int]:
    """Hash rows of kind, seed, channel and value."""
    kind, seed, channel, value = zip(*rows, strict=True)
    whole = np.array([kind, seed, channel], dtype=np.int64)
    return [int(i) for i in identities(whole[0], whole[1], whole[2], np.array(value, dtype=np.float64))]


def said(row: tuple[Identity, int, int, float]) -> object:
    """Give what identifies a row: bits, since NaN is a value, too."""
    kind, seed, channel, value = row
    return kind, seed, channel, 0 if kind == Identity.NAME else np.float64(value).tobytes()


@given(st.lists(ROWS, min_size=1, max_size=40))
def test_identities_are_equal_where_all_that_identifies_is(
    rows: list[tuple[Identity, int, int, float]],
) -> None:
    """Kind, seed, channel and (but for a name) value tell readings apart, whatever stands beside them."""
    hashes = identity(*rows)
    assert hashes == [identity(row)[0] for row in rows]
    assert hashes == identity(*rows * FEW)[: len(rows)]  # as columns, whether these are few or not
    named = [(said(row), code) for row, code in zip(rows, hashes, strict=True) if row[0] is not Identity.NONE]
    assert len(set(named)) == len({code for _, code in named}) == len({what for what, _ in named})
    assert all((code == 0) is (row[0] is Identity.NONE) for row, code in zip(rows, hashes, strict=True))


def test_identities_of_a_grid_of_times_and_values_are_all_different() -> None:
    """A million readings of usual times and values have a million identities, spread evenly."""
    time_ns, value = np.meshgrid(1_800_000_000 * 10**9 + np.arange(1000) * 10**9, np.arange(1000) / 10)
    kind = np.full(time_ns.size, Identity.TIME, dtype=np.int64)
    hashed = identities(kind, time_ns.ravel(), np.zeros_like(kind), value.ravel())
    assert len(np.unique(hashed)) == time_ns.size
    for shift in (0, 24, 56):
        counts = np.bincount(((hashed >> np.uint64(shift)) & np.uint64(255)).astype(np.int64), minlength=256)
        assert np.abs(counts / counts.mean() - 1).max() < 0.1


def test_session_stands_above_what_identifies_a_delivery() -> None:
    """No session changes what tells deliveries of one apart, and 32,768 in a row are told apart themselves."""
    largest = packet_seed(65_535, bytes.fromhex("ffffffff"))  # the CRC32 of these is the largest
    assert largest == 2**48 - 1
    seeds = {session_seed(session) for session in range(2**15)}
    assert len(seeds) == 2**15
    assert all(seed & largest == 0 and seed < 2**63 for seed in seeds)


def test_seeds_tell_deliveries_and_names_apart() -> None:
    """Packet id and payload, and type and text of a name, are told apart."""
    assert len({packet_seed(mid, payload) for mid in (1, 2) for payload in (b"1", b"2", b"")}) == 6
    assert len({name_seed(name) for name in ("1", 1, 1.5, "a", "€", "")}) == 6
