"""Laws of decode: the time of a reading."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.core.instants import LIMIT_NS, format_instant, parse_instant
from edgeseq.core.types import (
    Options,
    Reason,
)
from tests.support.decoding import NOW_NS, STAMPED, S, message, read, reasons


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-03-01T10:00:00Z",
        "2026-03-01T11:00:00+01:00",
        "2026-03-01 10:00:00",
        "20260301T100000Z",
        "2026-03-01T10:00:00.000000000Z",
        1_772_359_200,
        1_772_359_200.0,
        1_772_359_200_000,
        1_772_359_200_000_000,
        1_772_359_200_000_000_000,
        "1772359200",
        "1772359200000",
        "1772359200.000",
    ],
)
def test_parse_instant_any_spelling_same_instant(stamp: object) -> None:
    """ISO 8601 and epoch numbers of any unit mean the same instant."""
    assert parse_instant(stamp) == NOW_NS


@pytest.mark.parametrize(
    ("stamp", "rest_ns"),
    [
        ("2026-03-01T10:00:00.123456789Z", 123_456_789),
        ("2026-03-01T10:00:00,5Z", 500_000_000),
        (1_772_359_200.123, 123_000_000),
        (1_772_359_200_000_000_123, 123),
    ],
)
def test_parse_instant_fraction_kept(stamp: object, rest_ns: int) -> None:
    """Fractions survive, to the nanosecond where the spelling holds it."""
    assert parse_instant(stamp) == NOW_NS + rest_ns


@pytest.mark.parametrize(
    "stamp",
    ["", "soon", "2026-13-01", None, True, [], {}, math.nan, math.inf, 1e300, 10**400, "9" * 19, "9" * 30, "0001-01-01",
     "9999-12-31T23:59:59-23:59", "2026-03-01T10:00:00.", "２０２６-03-01"],
)  # fmt: skip
def test_parse_instant_no_time_none(stamp: object) -> None:
    """What is no time, or too far off to compute with, is none."""
    assert parse_instant(stamp) is None


@given(st.integers(-LIMIT_NS, LIMIT_NS - 1))
def test_format_instant_read_back_same(time_ns: int) -> None:
    """What is published as an instant reads back to the nanosecond."""
    assert parse_instant(format_instant(time_ns)) == time_ns


@given(st.text() | st.integers() | st.floats() | st.none() | st.booleans())
def test_parse_instant_any_value_never_raises(value: object) -> None:
    """Any value is an instant within the limit, or none."""
    time_ns = parse_instant(value)
    assert time_ns is None or -LIMIT_NS <= time_ns < LIMIT_NS


def test_decode_payload_time_is_event_time() -> None:
    """The reading's time is the payload's where configured, else that of arrival."""
    readings, _, _ = read(message("line/a", {"v": 1, "ts": NOW_NS // S - 60}), message("plc/a", "1"))
    assert readings.time_ns.tolist() == [NOW_NS - 60 * S, NOW_NS]
    assert readings.received_ns.tolist() == [NOW_NS, NOW_NS]


@pytest.mark.parametrize(
    "document", [{"v": 1}, {"v": 1, "ts": None}, {"v": 1, "ts": "soon"}, {"v": 1, "ts": 10**300}]
)
def test_decode_bad_time_rejected(document: dict[str, Any]) -> None:
    """A reading whose configured time is absent or unreadable is not applied at the time of arrival instead."""
    readings, rejections, created = read(message("line/a", document))
    assert (len(readings), reasons(rejections), created) == (0, [Reason.BAD_TIME], [])


@pytest.mark.parametrize(("ahead_s", "is_read"), [(300, True), (301, False)])
def test_decode_time_in_future_rejected_beyond_tolerance(ahead_s: int, is_read: bool) -> None:
    """Five minutes ahead are tolerated, more are not."""
    readings, rejections, _ = read(message("line/a", {"v": 1, "ts": NOW_NS // S + ahead_s}))
    assert len(readings) == int(is_read)
    assert reasons(rejections) == ([] if is_read else [Reason.TIME_IN_FUTURE])


def test_decode_time_in_future_of_unsynchronised_clock_read() -> None:
    """A clock that is not synchronised cannot call a reading one from the future."""
    ahead = message("line/a", {"v": 1, "ts": NOW_NS // S + 10**6})
    assert len(read(ahead, options=Options(synchronised=False))[0]) == 1


def test_decode_old_first_reading_rejected_only_where_limited() -> None:
    """max_age holds for a stream's first reading alone, and is off by default."""
    limited = msgspec.structs.replace(STAMPED, max_age_ns=3600 * S)
    old = message("line/a", {"v": 1, "ts": NOW_NS // S - 3601})
    new = message("line/a", {"v": 1, "ts": NOW_NS // S - 3600})
    assert len(read(old)[0]) == 1
    readings, rejections, _ = read(old, new, old, rules=(limited,))
    assert readings.message_index.tolist() == [1, 2]
    assert [(r.message_index, r.reason) for r in rejections] == [(0, Reason.TOO_OLD)]
