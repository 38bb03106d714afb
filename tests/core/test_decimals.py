"""Numbers as text: what is written is what rounding gives, for any numbers."""

from __future__ import annotations

import itertools
import json
import math
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgeseq.core.decimals import CHUNK_ROWS, CUT, significant, write_rows
from edgeseq.core.types import F64

EDGES = [
    *(0.0, 5e-324, 2.2250738585072014e-308, 1e-5, 9.99995e-6, 9.999949e-6, 0.99999, 0.999999, 9.99995, 99999.5),
    *(99999.4, 999995.0, 999994.0, 1e6, 1e10, 9.99999e26, 1e27, 1e22, 1e23, 1.7976931348623157e308, math.inf, math.nan),
]  # fmt: skip


def listed(values: F64) -> list[list[float | None]]:
    """Write rows as JSON arrays and read them."""
    labels = (b"[", *[b","] * (values.shape[1] - 1), b"]")
    return [json.loads(row) for row in write_rows(values, labels)]


def rounded(values: F64) -> list[list[float | None]]:
    """Round, null where not finite."""
    return [[x if math.isfinite(x) else None for x in row] for row in significant(values).tolist()]


def bits(rows: list[list[float | None]]) -> list[list[bytes | None]]:
    """Make numbers comparable, the sign of zero included."""
    return [[None if x is None else struct.pack("<d", x) for x in row] for row in rows]


@given(st.floats(-1.7e308, 1.7e308))  # the very last floats round to infinity
def test_significant_any_float_five_digits_near_it(value: float) -> None:
    """Rounding keeps 5 significant digits, as printing does but for ties."""
    result = float(significant(np.array([value]))[0])
    assert float(f"{result:.5g}") == result
    assert abs(result - value) <= abs(value) * 5.0001e-5 or abs(value) < 1e-300


@given(st.lists(st.floats(), min_size=1, max_size=20), st.integers(0, 19))
def test_significant_value_alone_as_among_others(values: list[float], at: int) -> None:
    """How a number is rounded does not depend on what stands beside it."""
    i = at % len(values)
    np.testing.assert_array_equal(significant(np.array(values))[i], significant(np.array([values[i]]))[0])


@given(st.lists(st.floats(), min_size=1, max_size=12))
@example(EDGES)
@example([-edge for edge in EDGES])
def test_write_rows_any_float_reads_as_rounded(values: list[float]) -> None:
    """Any float is read back as its rounding to 5 digits, bit for bit; what is not finite is null."""
    row = np.array([values])
    assert bits(listed(row)) == bits(rounded(row))


def test_write_rows_floats_of_all_magnitudes_read_as_rounded() -> None:
    """So are floats around all powers of ten, and any bits."""
    rng = np.random.default_rng(1)
    near = [
        float(f"{digits}e{power}")
        for digits in ("9.99994", "9.99995", "9.99996", "1")
        for power in range(-12, 32)
    ]
    neighbours = [np.nextafter(x, to) for x in near for to in (0, math.inf)]
    raw = rng.integers(0, 2**64, 3000, dtype=np.uint64).view(np.float64)
    usual = rng.standard_normal(3000) * 10.0 ** rng.integers(-8, 12, 3000)
    values = np.concatenate([near, neighbours, raw, usual]).reshape(-1, 4)
    assert bits(listed(values)) == bits(rounded(values))


@pytest.mark.parametrize("n", [0, 1, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 3 * CHUNK_ROWS])
def test_write_rows_row_does_not_depend_on_others(n: int) -> None:
    """A row is the same alone and among others."""
    rng = np.random.default_rng(2)
    values = rng.standard_normal((n, 3)) * 10.0 ** rng.integers(-7, 9, (n, 3))
    labels = (b"", b",", b",", b"")
    assert write_rows(values, labels) == [write_rows(row[None], labels)[0] for row in values]


@pytest.mark.parametrize("first", [1.5, -0.001, 1e-9, math.nan, math.inf])
@pytest.mark.parametrize(
    "listed", [21.5, 12345.6, 0.5, -12.345, 0.0, math.nan, 123456.0, -12345.6, -0.5, 0.05, 1e30]
)
def test_write_rows_list_reads_as_rounded_whatever_stands_before_it(first: float, listed: float) -> None:
    """Numbers of a list share a word with their comma where all have room for it, beside others that have none."""
    labels = (b'{"a":', b',"b":[', b",", b"]," + CUT + b'"c":[', b",", b",", b"]}")
    values = np.array([[first, listed, 1.0, -2.5, 99999.4, listed], [-first, 7.0, -listed, 0.1, 33.0, -3.0]])
    pieces = write_rows(values, labels)
    rows = [json.loads(a + b) for a, b in zip(pieces[::2], pieces[1::2], strict=True)]
    assert bits([[row["a"], *row["b"], *row["c"]] for row in rows]) == bits(rounded(values))


@given(
    st.lists(st.text("ab:,[{", max_size=20), min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_write_rows_labels_of_any_length_stand_around_numbers(labels: list[str], cuts: list[bool]) -> None:
    """Labels stand where they belong, and each CUT in them ends a piece."""
    texts = [text.encode() + CUT * cut for text, cut in zip(labels, cuts, strict=True)]
    values = np.array([[-1.25, 1e-9], [300.0, math.nan]])
    expected = b"".join(
        b"%b%b%b%b%b\n" % tuple(itertools.chain(*zip(texts, numbers, strict=False), texts[2:]))
        for numbers in ([b"-1.25", b"1.0000e-09"], [b"300.0", b"null"])
    )
    assert write_rows(values, tuple(texts)) == expected.split(CUT)[:-1]
