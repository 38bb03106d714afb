"""Messages of one make are read together, and give what they give when they are read one by one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.core.alike import read_alike
from edgeseq.core.decode import decode
from edgeseq.core.identity import FEW
from edgeseq.core.registry import Registry
from edgeseq.core.types import Message, Options, StreamRule

S = 10**9
NOW_S = 1_800_000_000
ONE = StreamRule(key="one", period_ns=S, topics=("one/+",), fields=("v",), time_field="ts")
TWO = StreamRule(key="two", period_ns=S, topics=("two/+",), fields=("v", "w.x"), time_field="ts")
NAMED = StreamRule(
    key="named", period_ns=S, topics=("named/+",), fields=("v",), time_field="ts", id_field="id"
)
RULES = (ONE, TWO, NAMED)
OPTIONS = Options()


def message(topic: str, *, retained: bool = False, **document: Any) -> Message:
    """Make a message that has just come."""
    return Message(topic, json.dumps(document).encode(), NOW_S * S, retained=retained, mid=5)


def opened() -> Registry:
    """Give a registry that knows how the messages of some topics usually are."""
    registry = Registry(RULES)
    first: dict[str, Any] = {"v": 1, "w.x": 2, "ts": NOW_S, "id": "a"}
    decode(
        registry, OPTIONS, [message(f"{kind}/{n}", **first) for kind in ("one", "two", "named") for n in "ab"]
    )
    return registry


def batch(*others: Message, kind: str = "one") -> list[Message]:
    """Make a batch of usual messages, and others behind them."""
    usual: dict[str, Any] = {"v": 21.5, "w.x": -0.0, "ts": NOW_S + 1}
    return [*(message(f"{kind}/{'ab'[n % 2]}", **usual | {"v": n}) for n in range(FEW)), *others]


NUMBERS = (
    st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([-0.0, 7])
)
TIMES = st.integers(NOW_S - 9, NOW_S + 999) | st.sampled_from(
    [NOW_S + 0.5, -NOW_S, f"{NOW_S}", "2026-03-01T10:00:00Z", NOW_S * 1000, 2**40, 2**32]
)
ODD = st.none() | st.booleans() | st.text(max_size=3) | st.just([1])
MESSAGES = st.builds(
    lambda kind, n, value, other, at: message(f"{kind}/{n}", **{"v": value, "w.x": other, "ts": at}),
    st.sampled_from(["one", "two"]), st.sampled_from("ab"), NUMBERS, NUMBERS, TIMES,
)  # fmt: skip
ODD_MESSAGES = st.builds(
    lambda topic, document, retained: message(topic, retained=retained, **document),
    st.sampled_from(["one/a", "two/a", "one/new", "named/a", "none"]),
    st.dictionaries(st.sampled_from(["v", "w.x", "ts", "id"]), NUMBERS | TIMES | ODD, max_size=4),
    st.booleans(),
) | st.builds(Message, st.just("one/a"), st.binary(max_size=20), st.just(NOW_S * S))


@given(
    st.lists(MESSAGES, min_size=FEW, max_size=14), st.lists(ODD_MESSAGES, max_size=1), st.integers(0, 14),
    st.booleans(),
)  # fmt: skip
def test_decode_together_as_one_by_one(
    usual: list[Message], odd: list[Message], at: int, synchronised: bool
) -> None:
    """Readings, rejections and streams are the same however messages share their batches."""
    messages = [*usual[:at], *odd, *usual[at:]]
    options, together, alone = Options(synchronised=synchronised), opened(), opened()
    readings, rejections, created = decode(together, options, messages)
    ones = [decode(alone, options, [one]) for one in messages]
    for name in readings.__slots__[1:]:
        parts = np.concatenate([getattr(found, name) for found, _, _ in ones])
        np.testing.assert_array_equal(getattr(readings, name), parts)
        assert getattr(readings, name).dtype == parts.dtype
    counts = [len(found) for found, _, _ in ones]
    assert readings.message_index.tolist() == np.arange(len(messages)).repeat(counts).tolist()
    assert [msgspec.structs.replace(one, message_index=0) for one in rejections] == [
        one for _, some, _ in ones for one in some
    ]
    assert created == [info for _, _, some in ones for info in some]


@pytest.mark.parametrize("kind", ["one", "two"])
def test_read_alike_reads_what_is_usual(kind: str) -> None:
    """All messages of one make are read, each field a reading."""
    found = read_alike(opened(), OPTIONS, batch(kind=kind))
    assert found is not None
    assert found.value[:: 1 + (kind == "two")].tolist() == list(range(FEW))
    assert set(found.time_ns.tolist()) == {(NOW_S + 1) * S}


@pytest.mark.parametrize(
    "other",
    [
        message("one/a", v="21", ts=NOW_S),
        message("one/a", v=True, ts=NOW_S),
        message("one/a", ts=NOW_S),
        message("one/a", v=10**400, ts=NOW_S),
        message("one/a", v=1e308, ts=NOW_S),
        message("one/a", v=1, ts="soon"),
        message("one/a", v=1),
        message("one/a", v=1, ts=NOW_S + 400),
        message("one/a", retained=True, v=1, ts=NOW_S),
        message("one/a", v=1, ts=NOW_S, more="x" * OPTIONS.max_payload_bytes),
        message("one/new", v=1, ts=NOW_S),
        Message("two/a", b'{"v":1,"w.x":2,"ts":1}', NOW_S * S),
        message("named/a", v=1, ts=NOW_S, id="b"),
        Message("one/a", b"[21]", NOW_S * S),
        Message("one/a", b'{"v":1', NOW_S * S),
        Message("one/a", b'{"v":1,"ts":1,"x":"\xff"}', NOW_S * S),
    ],
)
def test_read_alike_leaves_what_is_not(other: Message) -> None:
    """Where one message is of another make, or not as it should be, none is read."""
    assert read_alike(opened(), OPTIONS, batch(other)) is None


def test_decode_together_converts_units() -> None:
    """A rule's unit conversion holds for what is read together, too."""
    rule = msgspec.structs.replace(ONE, conversions={ONE.channel_names[0]: (2.0, 1.0)})
    registry = Registry((rule,))
    decode(registry, OPTIONS, batch()[:2])
    readings, _, _ = decode(registry, OPTIONS, batch())
    assert readings.value.tolist() == [1 + 2 * n for n in range(FEW)]
