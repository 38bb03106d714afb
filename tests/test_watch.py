"""Laws of the terminal view: it shows what was published, and nobody who may publish can steer the terminal."""

from __future__ import annotations

import io
import queue
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from edgeseq.errors import BrokerError, EdgeseqError, LoginError
from edgeseq.watch import Broker, Screen, connect, watch
from edgeseq.watch import view as v
from edgeseq.watch.once import once
from tests.support.broker import Peer, free_port, running_broker
from tests.support.watching import ESCAPES, alert_told, forecast_told, open_told, viewed


def test_watch_on_a_terminal_says_once_how_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches on a terminal is told once how to leave."""
    monkeypatch.setenv("TERM", "xterm")
    out = _Impatient()
    with running_broker(tmp_path) as broker:
        watch(Broker("127.0.0.1", broker.port), "edgeseq", "+", out)
    assert out.getvalue().count("Ctrl-C ends") == 1


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
    screen.frame(viewed(("cellar/forecast", forecast_told())))
    first = out.getvalue()
    screen.frame(viewed())
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
                sensor.publish("edgeseq/attic/cellar/alert", alert_told("opened"))
                assert "spike opened: cellar 99 °C" in watching.stdout.readline()
            finally:
                watching.send_signal(signal.SIGINT)
                sensor.close()
        assert watching.returncode == 0


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
        sender.publish("edgeseq/attic/cellar/latest", forecast_told(), retain=True)
        sender.publish("edgeseq/attic/bridge/state", b'{"state":"online"}', retain=True)
        sender.publish("edgeseq/attic/bridge/alerts", open_told({"severity": "info"}), retain=True)
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
