"""Laws of topic filters and slugs."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.core.topics import MAX_SLUG_CHARS, filter_fault, is_covered, is_match, is_overlap, slug

LEVELS = st.sampled_from(["a", "b", "$s", ""])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = st.builds(
    lambda levels, tail: "/".join([*levels, *tail]),
    st.lists(st.sampled_from(["a", "b", "+", "$s", ""]), max_size=4),
    st.sampled_from([[], ["#"], ["a"]]),
).filter(bool)


def is_match_by_regex(topic_filter: str, topic: str) -> bool:
    """Match by a regular expression: another road to the same answer."""
    if topic[0] == "$" and topic_filter[0] in "+#":
        return False
    if topic_filter == "#":
        return True
    pattern = re.escape(topic_filter).replace(r"\+", "[^/]*")
    pattern = re.sub(r"/\\#$", "(/.*)?", pattern)
    return re.fullmatch(pattern, topic) is not None


@given(FILTERS, TOPICS)
def test_is_match_any_filter_and_topic_as_regular_expression(topic_filter: str, topic: str) -> None:
    """A filter matches exactly the topics that its regular expression matches."""
    assert is_match(topic_filter, topic) is is_match_by_regex(topic_filter, topic)


@given(FILTERS, FILTERS, TOPICS)
def test_is_overlap_topic_of_both_filters_true(one: str, other: str, topic: str) -> None:
    """Filters that share a topic overlap, whichever comes first."""
    assert is_overlap(one, other) is is_overlap(other, one)
    if is_match(one, topic) and is_match(other, topic):
        assert is_overlap(one, other)


@given(FILTERS, FILTERS, TOPICS)
def test_is_covered_topic_of_inner_matches_outer(inner: str, outer: str, topic: str) -> None:
    """What a covered filter matches, the covering one matches too."""
    if is_covered(inner, outer) and is_match(inner, topic):
        assert is_match(outer, topic)


@pytest.mark.parametrize(("one", "other"), [("a/+", "b/#"), ("a", "a/b"), ("#", "$SYS/#"), ("+/b", "a/c")])
def test_is_overlap_disjoint_filters_false(one: str, other: str) -> None:
    """Filters without a common topic do not overlap."""
    assert not is_overlap(one, other)


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a#", "a/b+", "a\0b", "x" * 2000])
def test_filter_fault_invalid_filter_names_it(topic_filter: str) -> None:
    """An invalid filter has a fault in words."""
    assert filter_fault(topic_filter)


@pytest.mark.parametrize("topic_filter", ["#", "+", "a/+/b/#", "/", "$SYS/#", "zigbee2mqtt/Living Room/+"])
def test_filter_fault_valid_filter_none(topic_filter: str) -> None:
    """A valid filter has no fault."""
    assert filter_fault(topic_filter) is None


@given(st.text(max_size=200), st.text(max_size=50))
def test_slug_any_text_is_one_safe_level(topic: str, field: str) -> None:
    """A slug of any text is a bounded, non-empty level of [a-z0-9-], the same each time."""
    made = slug(topic, field)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", made)
    assert len(made) <= MAX_SLUG_CHARS + 6
    assert made == slug(topic, field)


@pytest.mark.parametrize(
    ("parts", "start"),
    [
        (("plc/p1/flow",), "plc-p1-flow"),
        (("zigbee2mqtt/cellar", "temperature"), "zigbee2mqtt-cellar-temperature"),
        (("tele/p1", "energy.power"), "tele-p1-energy-power"),
        (("living-room",), "living-room"),
    ],
)
def test_slug_lossless_parts_no_digest(parts: tuple[str, ...], start: str) -> None:
    """Small letters, digits, hyphens and separators need no digest."""
    assert slug(*parts) == start


@pytest.mark.parametrize(
    "topic", ["Pump", "pump 1", "pümp", "a//b", "/a", "a_b", "bridge", "x" * 97, "\u212a"]
)
def test_slug_lossy_topic_has_digest(topic: str) -> None:
    """Where the slug lost something, five characters of a digest keep it apart."""
    assert re.search(r"(^|-)[a-z2-7]{5}$", slug(topic))
    assert slug(topic) != slug(topic, "")


def test_slug_topics_that_differ_in_case_differ() -> None:
    """Two topics whose plain slugs are equal get different names."""
    assert len({slug("Pump"), slug("PUMP"), slug("pump"), slug("pump!")}) == 4
