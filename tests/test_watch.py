"""Laws of the terminal view: it shows what was published, and nobody who may publish can steer the terminal."""

from __future__ import annotations

import io
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.errors import BrokerError, EdgeseqError, LoginError
from edgeseq.watch import Broker, Screen, connect, watch
from edgeseq.watch import view as v
from edgeseq.watch.drawing import draw
from edgeseq.watch.once import once
from edgeseq.watch.terminal import BLOCKS, cells, colors, fit, no_colors, printable, spark
from tests.support.broker import Peer, free_port, running_broker

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def _forecast(origin: str = "2026-03-01T10:00:00Z", **more: Any) -> bytes:
    values = {"observed": 12.4, "value": 12.5, "lower": 12.1, "upper": 12.9, "unit": "°C", "source": "model"}
    return msgspec.json.encode({"origin": origin, "period_s": 3600, **values, **more})


def _alert(event: str, **more: Any) -> bytes:
    shown = {"id": "k3", "kind": "spike", "time": "2026-03-01T10:00:00Z", "message": "cellar 99 °C"}
    return msgspec.json.encode({"event_type": event, "stream": "cellar", **shown, **more})


def _view(*messages: tuple[str, bytes]) -> v.View:
    view = v.View(node="attic")
    for topic, payload in messages:
        v.take(view, f"edgeseq/attic/{topic}", payload)
    return view


def _drawn(view: v.View, width: int = 120, height: int = 30) -> str:
    return "\n".join(draw(view, width, height, no_colors))


def test_view_shows_a_stream_in_one_row() -> None:
    """A row tells the stream's name, last reading, next band, who forecasts, how well, and its state."""
    view = _view(
        ("cellar/forecast", _forecast(skill=0.18)),
        ("cellar/status", b'{"phase":"live","data":"ok","alert":"none"}'),
    )
    row = next(line for line in _drawn(view).splitlines() if line.startswith("cellar"))
    for text in ("12.4", "12.1 … 12.9 °C", "model", "+18%", "ok"):
        assert text in row


def test_view_open_alert_is_shown_until_cleared() -> None:
    """An alert is counted and named in its row while open; its opening and end stay in the log."""
    view = _view(("cellar/alert", _alert("opened")))
    assert "1 open alert" in _drawn(view)
    assert "● spike" in _drawn(view)
    v.take(view, "edgeseq/attic/cellar/alert", _alert("cleared", message="cellar is fine"))
    drawn = _drawn(view)
    assert "0 open alerts" in drawn
    assert "cellar 99 °C" in drawn
    assert "cellar is fine" in drawn


def test_view_gap_leaves_room_and_open_step_is_replaced() -> None:
    """Missing steps are blanks in the sparkline; a second forecast of one origin replaces the first."""
    messages = [
        ("cellar/forecast", _forecast(f"2026-03-01T{hour:02d}:00:00Z", observed=value))
        for hour, value in [(10, 1.0), (11, 5.0), (11, 2.0), (14, 3.0)]
    ]
    readings = _view(*messages).rows["cellar"].readings
    assert [value for value, _ in readings] == [1.0, 2.0, None, None, 3.0]


def test_view_of_all_nodes_keeps_their_streams_apart() -> None:
    """Watching all nodes, streams of the same name have rows of their own."""
    view = v.View()
    for node in ("attic", "cellar"):
        v.take(view, f"edgeseq/{node}/door/forecast", _forecast())
    assert list(view.rows) == ["attic/door", "cellar/door"]


def test_view_node_is_named_only_where_several_are_seen() -> None:
    """With one node its name stands before no stream; a second node makes names ambiguous, and all get theirs."""
    view = v.View()
    line = v.take(view, "edgeseq/attic/door/forecast", _forecast())
    assert line is not None
    assert "  door  " in line
    assert "attic/" not in _drawn(view)
    assert _drawn(view).startswith("edgeseq · node attic  ")
    v.take(view, "edgeseq/cellar/door/forecast", _forecast())
    assert all(name in _drawn(view) for name in ("attic/door", "cellar/door"))


def test_view_states_of_nodes_are_told_by_name() -> None:
    """What a node says of itself is told with its name; several nodes are counted in the head."""
    view = v.View()
    said = [
        v.take(view, f"edgeseq/{node}/bridge/state", f'{{"state":"{state}"}}'.encode())
        for node, state in (("attic", "online"), ("cellar", "offline"))
    ]
    assert said == ["attic is online", "cellar is offline"]
    assert _drawn(view).startswith("edgeseq · 2 nodes  1 of 2 online")


def test_view_tells_the_class_of_a_stream_and_takes_it_for_no_nodes_state() -> None:
    """What an estimator says of a room is a line of its own; the node's state stays as it was told."""
    view = _view(("bridge/state", b'{"state":"online"}'))
    line = v.take(view, "edgeseq/attic/room/state", b'{"state":"occupied","since":"2026-03-01T10:00:00Z"}')
    assert line is not None
    assert line.endswith("room is occupied")
    assert (view.states, view.unreadable) == ({"attic": "online"}, 0)


def test_view_accounts_for_the_readings_of_a_node() -> None:
    """bridge/health is a line of its own, and stands below the head as long as there is one node only."""
    health = (
        b'{"received":12,"applied":6,"late":1,"duplicate":2,"rejected":{"no_field":1,"bad_time":1},"shed":1}'
    )
    view = _view(("bridge/state", b'{"state":"online"}'))
    account = "12 readings = 6 applied + 1 late + 2 duplicate + 2 rejected + 1 shed"
    assert v.take(view, "edgeseq/attic/bridge/health", health) == f"attic: {account}"
    assert account in _drawn(view)
    several = v.View()
    for node in ("attic", "cellar"):
        v.take(several, f"edgeseq/{node}/bridge/health", health)
    assert "readings =" not in _drawn(several)
    assert v.take(view, "edgeseq/attic/bridge/health", b"[]") is None
    assert view.unreadable == 1


def test_view_alert_event_delivered_twice_is_shown_once() -> None:
    """Alerts come at least once: the same id and seq is the same event; another seq is another one."""
    view = _view(("cellar/alert", _alert("opened", seq=1)))
    assert v.take(view, "edgeseq/attic/cellar/alert", _alert("opened", seq=1)) is None
    assert len(view.log) == 1
    assert v.take(view, "edgeseq/attic/cellar/alert", _alert("cleared", seq=2)) is not None
    assert v.take(view, "edgeseq/attic/cellar/alert", _alert("opened", seq=1)) is None
    assert "0 open alerts" in _drawn(view), "an old event that comes again opens nothing"


def _open(*alerts: dict[str, Any], count: int | None = None) -> bytes:
    listed = [
        {"id": f"a{i}", "kind": "drift", "stream": "cellar", "channel": None, **one}
        for i, one in enumerate(alerts)
    ]
    return msgspec.json.encode({"count": len(alerts) if count is None else count, "alerts": listed})


def test_view_shows_alerts_that_opened_before_it_began() -> None:
    """The list of open alerts tells what no event will: severity, who knows of it, and what is muted."""
    view = _view(
        ("cellar/latest", _forecast()),
        (
            "bridge/alerts",
            _open(
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
    drawn = _drawn(view, 160)
    assert "3 open alerts · 1 muted" in drawn
    row = next(line for line in drawn.splitlines() if line.startswith("cellar"))
    assert "12.4" in row
    assert "● stuck, ✓ spike by" in row
    assert any(name.startswith("pump1/flow-2") for name in view.rows), "as its topics are named"
    v.take(view, "edgeseq/attic/bridge/alerts", _open())
    assert "0 open alerts" in _drawn(view)


def test_view_of_a_list_that_is_cut_forgets_nothing() -> None:
    """A list that does not name all open alerts says nothing of those that it does not name."""
    view = _view(("cellar/alert", _alert("opened")), ("bridge/alerts", _open({}, count=300)))
    assert "2 open alerts" in _drawn(view)


def test_view_shows_acknowledgement_severity_and_watch() -> None:
    """An acknowledged alert asks for nobody, an opened one says how much it matters, and watch is shown."""
    view = _view(("cellar/alert", _alert("opened", severity="critical")))
    assert "spike opened, critical" in _drawn(view)
    v.take(view, "edgeseq/attic/cellar/alert", _alert("acknowledged", acknowledged=True))
    assert "✓ spike" in _drawn(view)
    v.take(view, "edgeseq/attic/attic/status", b'{"phase":"live","data":"ok","alert":"watch"}')
    assert "◐ watch" in _drawn(view)


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


def test_watch_on_a_terminal_says_once_how_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches on a terminal is told once how to leave."""
    monkeypatch.setenv("TERM", "xterm")
    out = _Impatient()
    with running_broker(tmp_path) as broker:
        watch(Broker("127.0.0.1", broker.port), "edgeseq", "+", out)
    assert out.getvalue().count("Ctrl-C ends") == 1


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"origin":1}', b"\xff", _alert("opened"), b'"x"'])
def test_view_payload_that_is_no_forecast_is_counted(payload: bytes) -> None:
    """What a topic does not promise is counted, not shown."""
    view = _view(("cellar/forecast", payload))
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
    v.take(view, f"{topic}/forecast", _forecast(unit=unit, source=name))
    v.take(view, f"{topic}/alert", _alert("opened", kind=name, message=unit + name))
    v.take(view, f"{topic}/status", msgspec.json.encode({"phase": name, "data": unit, "alert": name}))
    v.take(view, "edgeseq/attic/bridge/state", msgspec.json.encode({"state": name}))
    for line in draw(view, width, 30, colors):
        assert ESCAPES.sub("", line).isprintable()
    plain = v.take(view, f"{topic}/forecast", _forecast(unit=unit, source=name))
    assert plain is not None
    assert plain.isprintable()


@given(width=st.integers(20, 200), height=st.integers(5, 40), streams=st.integers(0, 60))
def test_view_fits_the_terminal(width: int, height: int, streams: int) -> None:
    """No drawing is wider or higher than the terminal; streams that do not fit are counted."""
    view = _view(*[(f"s{i}/forecast", _forecast()) for i in range(streams)])
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
    view = _view(*[(f"s{i}/forecast", _forecast()) for i in range(50)], ("s49/alert", _alert("opened")))
    assert "s49" in _drawn(view, height=20)


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
    view = _view(
        *(
            ("cellar/forecast", _forecast(observed=v, lower=v, period_s=1e-300, skill=v, score=v))
            for v in values
        ),
        ("cellar/forecast", _forecast("2026-03-01T12:00:00Z", observed=values[0], period_s=1e-300)),
    )
    assert "cellar" in _drawn(view)


def test_screen_elsewhere_prints_one_line_per_event() -> None:
    """Where the output is no terminal nothing is redrawn: each event is a line, alerts alone if wanted."""
    out = io.StringIO()
    screen = Screen(out, only_alerts=True)
    screen.line("edgeseq/attic/cellar/forecast", "a forecast")
    screen.line("edgeseq/attic/cellar/alert", "an alert")
    screen.frame(v.View())
    assert out.getvalue() == "an alert\n"


def test_connect_without_a_broker_says_where() -> None:
    """A broker that does not answer is an error that names its address."""
    port = free_port()
    with pytest.raises(BrokerError, match="does not answer") as caught:
        connect(Broker("127.0.0.1", port), ["#"], queue.Queue())
    assert f"127.0.0.1:{port}" in str(caught.value)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Impatient(_Terminal):
    """Somebody who presses Ctrl-C after a few frames."""

    flushes = 0

    def flush(self) -> None:
        self.flushes += 1
        if self.flushes > 4:
            raise KeyboardInterrupt


def test_screen_on_a_terminal_redraws_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each frame goes back over the lines of the last one and clears what is left; NO_COLOR is respected."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    out = _Terminal()
    screen = Screen(out)
    screen.line("edgeseq/attic/cellar/alert", "an alert")
    screen.frame(_view(("cellar/forecast", _forecast())))
    first = out.getvalue()
    screen.frame(_view())
    assert not first.startswith("\x1b")
    assert out.getvalue()[len(first) :].startswith(f"\x1b[{first.count(chr(10))}F")
    assert out.getvalue().endswith("\x1b[J")
    assert not ESCAPES.search(out.getvalue())


@pytest.mark.system
def test_watch_command_prints_what_is_published(tmp_path: Path) -> None:
    """The command subscribes as a client and tells each event in a line where its output is no terminal."""
    with running_broker(tmp_path) as broker:
        sensor = Peer(broker.port)
        sensor.publish("edgeseq/attic/bridge/state", '{"state":"online"}', retain=True)
        sensor.flush()
        command = [
            sys.executable,
            "-m",
            "edgeseq",
            "watch",
            "--host",
            "127.0.0.1",
            "--port",
            str(broker.port),
        ]
        with subprocess.Popen([*command, "--node", "attic"], stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            try:
                assert watching.stdout.readline() == "attic is online\n"
                sensor.publish("edgeseq/attic/cellar/alert", _alert("opened"))
                assert "spike opened: cellar 99 °C" in watching.stdout.readline()
            finally:
                watching.send_signal(signal.SIGINT)
                sensor.close()
        assert watching.returncode == 0


def test_list_of_open_alerts_in_a_line_begins_with_the_node() -> None:
    """Where several nodes are watched, a line tells whose list it is, as all other lines do."""
    line = v.take(
        v.View(), "edgeseq/attic/bridge/alerts", b'{"schema": 1, "count": 0, "alerts": [], "groups": []}'
    )
    assert line == "attic: 0 open alerts, 0 known, 0 muted"


@pytest.mark.parametrize(
    ("code", "username", "fault", "reason", "do"),
    [
        (4, None, LoginError, "user name or password", "--username"),
        (5, None, LoginError, "authori", "--username"),
        (5, "anna", LoginError, "authori", "check the user and the password"),
        (3, "anna", BrokerError, "unavailable", "try again later"),
    ],
)
def test_broker_that_refuses_is_an_error_that_says_what_to_do(
    code: int, username: str | None, fault: type[EdgeseqError], reason: str, do: str
) -> None:
    """A connection that the broker does not want is told with its reason; only of a wrong log-in it is for a human."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(1024)
                peer.sendall(b"\x20\x02\x00" + bytes([code]))  # CONNACK (MQTT 3.1.1, section 3.2)

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(fault, match="the broker refuses") as caught:
            connect(Broker("127.0.0.1", server.getsockname()[1], username=username), ["#"], queue.Queue())
        thread.join()
    assert reason in str(caught.value.found)
    assert do in str(caught.value.do)


def test_once_prints_what_the_broker_keeps(tmp_path: Path) -> None:
    """`watch --once` tells the retained state of a node as a table or JSON, and says where there is none."""
    with running_broker(tmp_path) as broker:
        where = Broker("127.0.0.1", broker.port)
        with pytest.raises(BrokerError, match="keeps nothing of this node"):
            once(where, "edgeseq", "attic")
        sender = Peer(broker.port)
        sender.publish("edgeseq/attic/cellar/latest", _forecast(), retain=True)
        sender.publish("edgeseq/attic/bridge/state", b'{"state":"online"}', retain=True)
        sender.publish("edgeseq/attic/bridge/alerts", _open({"severity": "info"}), retain=True)
        sender.flush()
        sender.close()
        out = io.StringIO()
        once(where, "edgeseq", "attic", out)
        assert "● drift" in out.getvalue()
        told = io.StringIO()
        once(where, "edgeseq", "attic", told, as_json=True)
    found = msgspec.json.decode(told.getvalue())
    assert found["nodes"] == {"attic": "online"}
    (row,) = found["streams"]
    assert (row["stream"], row["observed"], row["open"][0]["kind"]) == ("cellar", 12.4, "drift")
