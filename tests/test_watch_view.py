"""The live view as data and lines: what it takes, what it shows, and that nothing from the wire steers a terminal."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.watch import view as v
from edgeseq.watch.drawing import draw
from edgeseq.watch.terminal import BLOCKS, cells, colors, fit, no_colors, printable, spark
from tests.support.watching import ESCAPES, alert_told, forecast_told, open_told, text_of, viewed


def test_view_shows_a_stream_in_one_row() -> None:
    """A row tells the stream's name, last reading, next band, who forecasts, how well, and its state."""
    view = viewed(
        ("cellar/forecast", forecast_told(skill=0.18)),
        ("cellar/status", b'{"phase":"live","data":"ok","alert":"none"}'),
    )
    row = next(line for line in text_of(view).splitlines() if line.startswith("cellar"))
    for text in ("12.4", "12.1 … 12.9 °C", "model", "+18%", "ok"):
        assert text in row


def test_view_open_alert_is_shown_until_cleared() -> None:
    """An alert is counted and named in its row while open; its opening and end stay in the log."""
    view = viewed(("cellar/alert", alert_told("opened")))
    assert "1 open alert" in text_of(view)
    assert "● spike" in text_of(view)
    v.take(view, "edgeseq/attic/cellar/alert", alert_told("cleared", message="cellar is fine"))
    drawn = text_of(view)
    assert "0 open alerts" in drawn
    assert "cellar 99 °C" in drawn
    assert "cellar is fine" in drawn


def test_view_gap_leaves_room_and_open_step_is_replaced() -> None:
    """Missing steps are blanks in the sparkline; a second forecast of one origin replaces the first."""
    messages = [
        ("cellar/forecast", forecast_told(f"2026-03-01T{hour:02d}:00:00Z", observed=value))
        for hour, value in [(10, 1.0), (11, 5.0), (11, 2.0), (14, 3.0)]
    ]
    readings = viewed(*messages).rows["cellar"].readings
    assert [value for value, _ in readings] == [1.0, 2.0, None, None, 3.0]


def test_view_of_all_nodes_keeps_their_streams_apart() -> None:
    """Watching all nodes, streams of the same name have rows of their own."""
    view = v.View()
    for node in ("attic", "cellar"):
        v.take(view, f"edgeseq/{node}/door/forecast", forecast_told())
    assert list(view.rows) == ["attic/door", "cellar/door"]


def test_view_node_is_named_only_where_several_are_seen() -> None:
    """With one node its name stands before no stream; a second node makes names ambiguous, and all get theirs."""
    view = v.View()
    line = v.take(view, "edgeseq/attic/door/forecast", forecast_told())
    assert line is not None
    assert "  door  " in line
    assert "attic/" not in text_of(view)
    assert text_of(view).startswith("edgeseq · node attic  ")
    v.take(view, "edgeseq/cellar/door/forecast", forecast_told())
    assert all(name in text_of(view) for name in ("attic/door", "cellar/door"))


def test_view_states_of_nodes_are_told_by_name() -> None:
    """What a node says of itself is told with its name; several nodes are counted in the head."""
    view = v.View()
    said = [
        v.take(view, f"edgeseq/{node}/bridge/state", f'{{"state":"{state}"}}'.encode())
        for node, state in (("attic", "online"), ("cellar", "offline"))
    ]
    assert said == ["attic is online", "cellar is offline"]
    assert text_of(view).startswith("edgeseq · 2 nodes  1 of 2 online")


def test_view_tells_the_class_of_a_stream_and_takes_it_for_no_nodes_state() -> None:
    """What an estimator says of a room is a line of its own; the node's state stays as it was told."""
    view = viewed(("bridge/state", b'{"state":"online"}'))
    line = v.take(view, "edgeseq/attic/room/state", b'{"state":"occupied","since":"2026-03-01T10:00:00Z"}')
    assert line is not None
    assert line.endswith("room is occupied")
    assert (view.states, view.unreadable) == ({"attic": "online"}, 0)


def test_view_accounts_for_the_readings_of_a_node() -> None:
    """bridge/health is a line of its own, and stands below the head as long as there is one node only."""
    health = (
        b'{"received":12,"applied":6,"late":1,"duplicate":2,"rejected":{"no_field":1,"bad_time":1},"shed":1}'
    )
    view = viewed(("bridge/state", b'{"state":"online"}'))
    account = "12 readings = 6 applied + 1 late + 2 duplicate + 2 rejected + 1 shed"
    assert v.take(view, "edgeseq/attic/bridge/health", health) == f"attic: {account}"
    assert account in text_of(view)
    several = v.View()
    for node in ("attic", "cellar"):
        v.take(several, f"edgeseq/{node}/bridge/health", health)
    assert "readings =" not in text_of(several)
    assert v.take(view, "edgeseq/attic/bridge/health", b"[]") is None
    assert view.unreadable == 1


def test_view_alert_event_delivered_twice_is_shown_once() -> None:
    """Alerts come at least once: the same id and seq is the same event; another seq is another one."""
    view = viewed(("cellar/alert", alert_told("opened", seq=1)))
    assert v.take(view, "edgeseq/attic/cellar/alert", alert_told("opened", seq=1)) is None
    assert len(view.log) == 1
    assert v.take(view, "edgeseq/attic/cellar/alert", alert_told("cleared", seq=2)) is not None
    assert v.take(view, "edgeseq/attic/cellar/alert", alert_told("opened", seq=1)) is None
    assert "0 open alerts" in text_of(view), "an old event that comes again opens nothing"


def test_view_shows_alerts_that_opened_before_it_began() -> None:
    """The list of open alerts tells what no event will: severity, who knows of it, and what is muted."""
    view = viewed(
        ("cellar/latest", forecast_told()),
        (
            "bridge/alerts",
            open_told(
                {"kind": "stuck", "severity": "warning"},
                {
                    "kind": "spike",
                    "severity": "critical",
                    "acknowledged": "2026-03-01T10:00:00Z",
                    "acknowledged_by": "ann",
                },
                {"kind": "drift", "muted": True},
                {"kind": "novelty", "stream": "pump1", "channel": "Flow 2", "severity": "info"},
            ),
        ),
    )
    drawn = text_of(view, 160)
    assert "3 open alerts · 1 muted" in drawn
    row = next(line for line in drawn.splitlines() if line.startswith("cellar"))
    assert "12.4" in row
    assert "● stuck, ✓ spike by" in row
    assert any(name.startswith("pump1/flow-2") for name in view.rows), "as its topics are named"
    v.take(view, "edgeseq/attic/bridge/alerts", open_told())
    assert "0 open alerts" in text_of(view)


def test_view_of_a_list_that_is_cut_forgets_nothing() -> None:
    """A list that does not name all open alerts says nothing of those that it does not name."""
    view = viewed(("cellar/alert", alert_told("opened")), ("bridge/alerts", open_told({}, count=300)))
    assert "2 open alerts" in text_of(view)


def test_view_shows_acknowledgement_severity_and_watch() -> None:
    """An acknowledged alert asks for nobody, an opened one says how much it matters, and watch is shown."""
    view = viewed(("cellar/alert", alert_told("opened", severity="critical")))
    assert "spike opened, critical" in text_of(view)
    v.take(view, "edgeseq/attic/cellar/alert", alert_told("acknowledged", acknowledged=True))
    assert "✓ spike" in text_of(view)
    v.take(view, "edgeseq/attic/attic/status", b'{"phase":"live","data":"ok","alert":"watch"}')
    assert "◐ watch" in text_of(view)


@pytest.mark.parametrize(
    ("alert", "said"), [("none", "no alert"), ("alert", "alert open"), ("odd", "alert odd")]
)
def test_view_status_line_reads_as_a_sentence(alert: str, said: str) -> None:
    """The line of a status says in words whether an alert is open."""
    payload = msgspec.json.encode({"phase": "live", "data": "ok", "alert": alert})
    assert (
        v.take(v.View(node="attic"), "edgeseq/attic/cellar/status", payload)
        == f"cellar  live, data ok, {said}"
    )


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b'{"origin":1}', b"\xff", alert_told("opened"), b'"x"']
)
def test_view_payload_that_is_no_forecast_is_counted(payload: bytes) -> None:
    """What a topic does not promise is counted, not shown."""
    view = viewed(("cellar/forecast", payload))
    assert (view.unreadable, view.rows) == (1, {})


@given(topic=st.text(max_size=60), payload=st.binary(max_size=60))
def test_view_takes_any_message(topic: str, payload: bytes) -> None:
    """No topic and no payload raises, and whatever a node is called, the head fits the terminal."""
    view = v.View()
    v.take(view, topic, payload)
    v.take(view, f"edgeseq/{topic}/forecast", payload)
    draw(view, 80, 24, colors)
    assert all(cells(line) <= 40 for line in draw(view, 40, 24, no_colors))


@given(name=st.text(min_size=1, max_size=40), unit=st.text(max_size=10), width=st.integers(10, 200))
def test_view_hostile_names_draw_only_printable_text(name: str, unit: str, width: int) -> None:
    """Whatever a stream, a unit, a kind or a message is called, the drawn lines hold no control or mark but our own."""
    view = v.View(node="attic")
    topic = f"edgeseq/attic/{name}"
    v.take(view, f"{topic}/forecast", forecast_told(unit=unit, source=name))
    v.take(view, f"{topic}/alert", alert_told("opened", kind=name, message=unit + name))
    v.take(view, f"{topic}/status", msgspec.json.encode({"phase": name, "data": unit, "alert": name}))
    v.take(view, "edgeseq/attic/bridge/state", msgspec.json.encode({"state": name}))
    for line in draw(view, width, 30, colors):
        assert ESCAPES.sub("", line).isprintable()
    plain = v.take(view, f"{topic}/forecast", forecast_told(unit=unit, source=name))
    assert plain is not None
    assert plain.isprintable()


@given(width=st.integers(20, 200), height=st.integers(5, 40), streams=st.integers(0, 60))
def test_view_fits_the_terminal(width: int, height: int, streams: int) -> None:
    """No drawing is wider or higher than the terminal; streams that do not fit are counted."""
    view = viewed(*[(f"s{i}/forecast", forecast_told()) for i in range(streams)])
    lines = draw(view, width, height, no_colors)
    assert len(lines) <= height
    table = lines[3:]
    assert all(cells(line) <= width for line in table)
    shown = sum(bool(re.match(r"s\d+\b", line)) for line in table)
    more = [line for line in table if line.startswith("… and")]
    if height > 12 and streams > shown:
        assert more == [f"… and {streams - shown} more"]


def test_view_alerting_streams_are_shown_first_where_room_is_short() -> None:
    """With more streams than lines, one with an open alert is never among the hidden."""
    view = viewed(
        *[(f"s{i}/forecast", forecast_told()) for i in range(50)], ("s49/alert", alert_told("opened"))
    )
    assert "s49" in text_of(view, height=20)


@given(st.text(), st.integers(0, 30))
def test_fit_never_exceeds_its_width(text: str, width: int) -> None:
    """A fitted text takes at most the given cells, and is unchanged where it fits."""
    text = printable(text)
    fitted = fit(text, width)
    assert cells(fitted) <= width
    assert fitted == text or cells(text) > width


def test_spark_spans_the_shown_readings() -> None:
    """The lowest reading is the lowest block, the highest the highest; constant readings are drawn too."""
    assert spark([(0.0, False), (7.0, False)], 2) == BLOCKS[0] + BLOCKS[-1]
    assert spark([(5.0, False)] * 3, 3) == BLOCKS[0] * 3


@pytest.mark.parametrize("values", [(-1e308, 1e308), (5e-324, 0.0), (1e-320, 1e308)])
def test_view_draws_any_finite_numbers(values: tuple[float, float]) -> None:
    """The largest and smallest numbers that a payload can carry are drawn."""
    view = viewed(
        *(
            ("cellar/forecast", forecast_told(observed=v, lower=v, period_s=1e-300, skill=v, score=v))
            for v in values
        ),
        ("cellar/forecast", forecast_told("2026-03-01T12:00:00Z", observed=values[0], period_s=1e-300)),
    )
    assert "cellar" in text_of(view)


def test_list_of_open_alerts_in_a_line_begins_with_the_node() -> None:
    """Where several nodes are watched, a line tells whose list it is, as all other lines do."""
    line = v.take(
        v.View(), "edgeseq/attic/bridge/alerts", b'{"schema": 1, "count": 0, "alerts": [], "groups": []}'
    )
    assert line == "attic: 0 open alerts, 0 known, 0 muted"
