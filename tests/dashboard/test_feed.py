"""Laws of what the dashboard knows of a node: as told, bounded, and never more than what a page has not seen."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseq.dashboard import feed as f
from edgeseq.dashboard.app import MAX_PAGES, Desk, Waiting, _Events
from edgeseq.dashboard.series import READINGS
from tests.support import node_told as told

T0_S = 1_770_000_000.0 // told.PERIOD_S * told.PERIOD_S


def fed(*messages: told.Told) -> f.Feed:
    """Make a feed that has taken messages."""
    feed = f.Feed(told.ROOT)
    for topic, payload in messages:
        feed.take(topic, payload)
    return feed


def column(frame: dict[str, Any], name: str) -> list[Any]:
    """Give a column of a frame as a page gets it."""
    found: list[Any] = msgspec.json.decode(msgspec.json.encode(frame))["rows"][name]
    return found


def at(step: int) -> float:
    """Give the time of a step."""
    return T0_S + step * told.PERIOD_S


def test_feed_tells_a_stream_as_it_was_told() -> None:
    """A forecast's numbers, its status and its band come to a page; the first frame holds everything."""
    feed = fed(told.forecast("cellar", at(0)), told.forecast("cellar", at(1)), told.status("cellar"))
    frame = feed.frame(0)
    assert frame["whole"]
    assert [row["stream"] for row in frame["new"]] == ["cellar"]
    before = msgspec.json.decode(told.forecast("cellar", at(0))[1])
    now = msgspec.json.decode(told.forecast("cellar", at(1))[1])
    for name in ("observed", "lower", "value", "upper", "unit", "source", "skill", "coverage"):
        assert column(frame, name) == [now[name]]
    assert (column(frame, "low"), column(frame, "high")) == ([before["lower"]], [before["upper"]])
    assert (column(frame, "phase"), column(frame, "data")) == (["live"], ["ok"])


def test_feed_tells_only_what_changed_since() -> None:
    """A page that has seen a version is told of later changes alone, whatever else there is."""
    feed = fed(*(told.forecast(f"s{n}", at(0)) for n in range(50)))
    since = feed.frame(0)["version"]
    assert column(feed.frame(since), "number") == []
    feed.take(*told.forecast("s7", at(1)))
    feed.take(*told.forecast("s7", at(2)))
    later = feed.frame(since)
    assert (later["whole"], later["new"], column(later, "number")) == (False, [], [7])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.booleans()), max_size=60), st.data())
def test_feed_frames_add_up_whatever_the_order(
    events: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    """A page that applies every frame, taken whenever, ends with what a page that comes last is told."""
    feed, page, since = f.Feed(told.ROOT), dict[int, dict[str, Any]](), 0
    for stream, step, is_end in events:
        if is_end:
            feed.take(f"{told.ROOT}/s{stream}/latest", b"")
        else:
            feed.take(*told.forecast(f"s{stream}", at(step)))
        if data.draw(st.booleans()):
            since = _apply(page, feed.frame(since))
    _apply(page, feed.frame(since))
    fresh = dict[int, dict[str, Any]]()
    _apply(fresh, feed.frame(0))
    assert page == fresh


def _apply(page: dict[int, dict[str, Any]], frame: dict[str, Any]) -> int:
    if frame["whole"]:
        page.clear()
    for row in frame["new"]:
        page[row["number"]] = {"stream": row["stream"]}
    columns = msgspec.json.decode(msgspec.json.encode(frame["rows"]))
    for index, number in enumerate(columns["number"]):
        page[number] |= {name: values[index] for name, values in columns.items()}
    version: int = frame["version"]
    return version


def test_feed_same_step_again_replaces_it_and_counts_once() -> None:
    """An open step that is told again is one reading, judged once, by its last value."""
    feed = fed(
        told.forecast("cellar", at(0)),
        told.forecast("cellar", at(1), observed=99.0),
        told.forecast("cellar", at(1)),
        told.forecast("cellar", at(0), observed=-99.0),
    )
    series = feed.rows["cellar"].series
    assert (series.count, series.judged, series.inside) == (2, 1, 1)


def test_feed_keeps_the_newest_readings_in_order() -> None:
    """Of a long series the newest readings are kept, each beside the band that had been forecast for it."""
    feed = fed(*(told.forecast("cellar", at(n), leads=1) for n in range(READINGS + 30)))
    series = feed.series_of("cellar")
    assert series is not None
    assert series["time"] == [at(n) for n in range(30, READINGS + 30)]
    wanted = [msgspec.json.decode(told.forecast("cellar", at(n), leads=1)[1])["lower"] for n in (29, 30)]
    assert series["lower"][:2] == wanted


def test_feed_gap_has_no_band_and_is_not_judged() -> None:
    """A reading that no forecast of one step before was made for counts for no coverage."""
    feed = fed(told.forecast("cellar", at(0)), told.forecast("cellar", at(5), observed=99.0))
    assert feed.rows["cellar"].series.judged == 0
    assert column(feed.frame(0), "low") == [None]


def test_feed_channels_have_rows_and_share_their_streams_status() -> None:
    """A stream known by its status gets a row; its channels replace it, and show that status."""
    feed = fed(told.status("pump1", data="silent"))
    assert list(feed.rows) == ["pump1"]
    for channel in ("flow", "vibration"):
        feed.take(*told.forecast(f"pump1/{channel}", at(0)))
    assert list(feed.rows) == ["pump1/flow", "pump1/vibration"]
    assert column(feed.frame(0), "data") == ["silent", "silent"]


def test_feed_tells_the_tail_anew_where_a_page_missed_readings() -> None:
    """One new reading a page adds by itself; of several it is told them all, so that none is left out of the line."""
    feed = fed(*(told.forecast("cellar", at(n)) for n in range(3)))
    since = feed.frame(0)["version"]
    feed.take(*told.forecast("cellar", at(3)))
    assert feed.frame(since)["tails"] == {}
    feed.take(*told.forecast("cellar", at(4)))
    assert [len(tail) for tail in feed.frame(since)["tails"].values()] == [5]


def test_feed_alert_event_delivered_twice_is_told_once() -> None:
    """The same id and seq is the same event; an older one that comes again changes nothing."""
    first = told.opened("cellar", at(0), "hot")
    feed = fed(first)
    since = feed.frame(0)["version"]
    feed.take(*first)
    assert feed.frame(since)["heard"] == []
    feed.take(*told.opened("cellar", at(0), "fine", event_type="cleared", seq=2, cleared=told.instant(at(1))))
    feed.take(*first)
    assert [event.event_type for event in feed.frame(since)["heard"]] == ["cleared"]


def test_feed_is_bounded() -> None:
    """Streams beyond the bound are counted, alerts beyond it forgotten, large payloads not read."""
    feed = f.Feed(told.ROOT)
    payload = told.forecast("x", at(0), leads=1)[1]
    for n in range(f.MAX_STREAMS + 5):
        feed.take(f"{told.ROOT}/s{n}/forecast", payload)
    assert (len(feed.rows), feed.hidden) == (f.MAX_STREAMS, 5)
    for n in range(f.MAX_HEARD + 5):
        feed.take(*told.opened("s1", at(0), "hot", seq=n, name="a" * 13 + f"{n:03}".translate(_LETTERS)))
    assert len(feed.heard) == f.MAX_HEARD
    feed.take(f"{told.ROOT}/s1/forecast", b" " * (f.MAX_PAYLOAD_BYTES + 1))
    feed.take(f"{told.ROOT}/{'s' * (f.MAX_TEXT + 1)}/forecast", payload)
    assert feed.unreadable == 2


_LETTERS = str.maketrans("0123456789", "abcdefghij")


@given(topic=st.text(max_size=40), payload=st.binary(max_size=60), verb=st.sampled_from(sorted(f._READERS)))
def test_feed_takes_any_message(topic: str, payload: bytes, verb: str) -> None:
    """No topic and no payload raises, nor makes a frame that cannot be written."""
    feed = f.Feed(told.ROOT)
    for name in (topic, f"{told.ROOT}/{topic}/{verb}", f"{told.ROOT}/a/{verb}", f"{told.ROOT}/bridge/{verb}"):
        feed.take(name, payload)
    msgspec.json.encode(feed.frame(0))


@settings(max_examples=40)
@given(st.recursive(st.none() | st.floats() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_feed_takes_any_json(value: Any) -> None:
    """Whatever a forecast, a status or the node's health says instead of what it should, nothing raises."""
    feed = f.Feed(told.ROOT)
    good = msgspec.json.decode(told.forecast("a", at(0))[1])
    for odd in (value, {**good, "observed": value}, {**good, "path": value}, {**good, "unit": value}):
        for topic in ("a/forecast", "a/latest", "a/status", "a/alert", "bridge/health", "bridge/alerts"):
            feed.take(f"{told.ROOT}/{topic}", msgspec.json.encode(odd))
    msgspec.json.encode(feed.frame(0))
    msgspec.json.encode(feed.series_of("a"))


def test_waiting_messages_are_bounded_in_bytes() -> None:
    """The queue before the dashboard is full by bytes, not by number; the broker waits then."""
    waiting = Waiting(1000)
    waiting.put(("t", b"x" * 900))
    assert not waiting.full()
    waiting.put(("t", b"x" * 900))
    assert waiting.full()
    assert waiting.get() == ("t", b"x" * 900)
    assert not waiting.full()
    waiting.get()
    assert waiting.empty()


def test_page_that_takes_nothing_is_let_go() -> None:
    """A page that does not read what it is sent loses its place, and others keep theirs."""
    desk = Desk(fed(told.forecast("cellar", at(0))), slow_page_s=0.01)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    asyncio.run(_Events(desk)({"type": "http"}, receive, send))
    assert (desk.pages, desk.dropped) == (0, 1)


def test_pages_are_bounded() -> None:
    """One page too many is told so."""
    desk = Desk(fed(), pages=MAX_PAGES)
    statuses = []

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    asyncio.run(_Events(desk)({"type": "http", "method": "GET", "headers": []}, receive, send))
    assert statuses[0] == 503
    assert desk.pages == MAX_PAGES
