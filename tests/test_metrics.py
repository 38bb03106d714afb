"""Metrics: the format, who may ask, and that each figure is what the node knows."""

from __future__ import annotations

import http.client
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseq.adapters.metrics import BATCH_BOUNDS_S, Metrics
from edgeseq.adapters.scrape import Exporter
from edgeseq.adapters.textfile import write_textfile
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.core.exposition import PROMETHEUS, Family, Figures, Histogram, expose
from edgeseq.core.types import Scrape
from edgeseq.errors import ConfigError
from tests.support.broker import free_port
from tests.support.exposition import parse

STREAMS = '[[streams]]\ntopic = "t"\nevery = "1m"\n'

FAMILIES = {
    "a_total": Family("counter", "As.", ("of",)),
    "b": Family("gauge", 'A "help" with \\ and\na break.', ("x", "y")),
    "c_seconds": Family("histogram", "Cs."),
    "d_info": Family("info", "Ds.", ("version",)),
}


@given(label=st.text(), value=st.floats(), is_openmetrics=st.booleans())
def test_any_label_and_number_reads_back(label: str, value: float, *, is_openmetrics: bool) -> None:
    """Whatever a table is called and whatever the number is, the text is one that scrapers read."""
    told: Figures = {
        "a_total": [((label,), 3)],
        "b": [((label, "y"), value), ((label, "z"), 1)],
        "c_seconds": [((), Histogram((0.1, 1.0), (2, 0, 1), 4.5))],
        "d_info": [(("1.0",), 1)],
    }
    samples = parse(expose(FAMILIES, told, is_openmetrics=is_openmetrics), is_openmetrics=is_openmetrics)
    assert len(samples) == 1 + 2 + 5 + 1
    assert samples["c_seconds_bucket", ('le="1.0"',)] == 2
    assert samples["c_seconds_sum", ()] == 4.5


def test_batch_time_falls_into_its_bucket() -> None:
    """A time on a bound counts below it; one beyond all counts in +Inf."""
    metrics = Metrics()
    for duration_s in (BATCH_BOUNDS_S[0], 0.0011, 99.0):
        metrics.count_batch(1, duration_s)
    assert metrics.batch_s.counts == (1, 1, *(0,) * (len(BATCH_BOUNDS_S) - 2), 1)
    assert metrics.fields()["batches"] == 3


@contextmanager
def exporting(address: tuple[str, int] | Path, *, is_answering: bool = True) -> Iterator[Exporter]:
    """Run an exporter beside a daemon that answers, or does not."""
    asked: queue.Queue[object] = queue.Queue()
    exporter = Exporter(address, asked.put)

    def answer() -> None:
        while isinstance(found := asked.get(), Scrape):
            if is_answering:
                exporter.give(PROMETHEUS, f"asked {int(found.is_openmetrics)}\n")

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield exporter
    finally:
        exporter.close()
        asked.put(None)
        thread.join()


def get(port: int, path: str = "/metrics", **headers: str) -> tuple[int, str]:
    """Ask."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    client.request("GET", path, headers=headers)
    reply = client.getresponse()
    return reply.status, reply.read().decode()


def test_http_answers_metrics_and_nothing_else() -> None:
    """Only /metrics is answered, only by names of this machine, and only while the daemon lives."""
    port = free_port()
    with exporting(("127.0.0.1", port)) as exporter:
        assert get(port) == (200, "asked 0\n")
        assert get(port, Accept="application/openmetrics-text; version=1.0.0") == (200, "asked 1\n")
        assert get(port, "/")[0] == 404
        assert get(port, Host="evil.example")[0] == 403
        assert get(port, Host=f"localhost:{port}")[0] == 200
        with socket.create_connection(("127.0.0.1", port)) as rude:
            rude.sendall(b"\x00\xff no HTTP\r\n\r\n")
        assert get(port)[0] == 200
        with pytest.raises(ConfigError, match="metrics cannot be told there"):
            Exporter(exporter.address, print)


def test_http_of_a_busy_daemon_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that does not come round to it answers 503, and nothing old."""
    monkeypatch.setattr("edgeseq.adapters.scrape.ANSWER_S", 0.05)
    port = free_port()
    with exporting(("127.0.0.1", port), is_answering=False):
        assert get(port)[0] == 503


def test_unix_socket_replaces_what_a_killed_process_left(tmp_path: Path) -> None:
    """A stale socket is replaced, a living one and other files are not; nothing is left behind."""
    path = tmp_path / "metrics.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with exporting(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /metrics HTTP/1.0\r\nHost: whoever\r\n\r\n")
        assert client.makefile("rb").read().endswith(b"\r\n\r\nasked 0\n")
        with pytest.raises(ConfigError, match="metrics cannot be told there"):
            Exporter(path, print)
    assert not path.exists()
    path.write_text("a file of somebody's")
    with pytest.raises(ConfigError, match="metrics cannot be told there"):
        Exporter(path, print)
    assert path.read_text() == "a file of somebody's"


def test_textfile_is_replaced_whole(tmp_path: Path) -> None:
    """A collector sees the old file or the new one, and nothing beside it."""
    path = tmp_path / "edgeseq.prom"
    write_textfile(path, "a 1\n")
    before = path.stat().st_ino
    write_textfile(path, "a 2\n")
    assert (path.read_text(), path.stat().st_ino != before) == ("a 2\n", True)
    assert path.stat().st_mode & 0o777 == 0o644
    assert [one.name for one in tmp_path.iterdir()] == ["edgeseq.prom"]
    with pytest.raises(OSError, match="No such file"):
        write_textfile(tmp_path / "nowhere" / "a.prom", "a 3\n")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('listen = "0.0.0.0:9464"', "on this machine only"),
        ('listen = "192.168.1.2:9464"', "on this machine only"),
        ('listen = "example.org:80"', "on this machine only"),
        ('listen = "9464"', "no address to listen on"),
        ('listen = "127.0.0.1:0"', "no address to listen on"),
        ('listen = "127.0.0.1:²"', "no address to listen on"),
        ('listen = "unix:metrics.sock"', "no path of a socket"),
        (f'listen = "unix:/{"x" * 120}"', "no path of a socket"),
        ('textfile = "edgeseq.txt"', "a collector would not read this"),
    ],
)
def test_setting_that_cannot_be_is_refused(line: str, says: str) -> None:
    """What would leave the machine, or what nobody would read, is refused by name."""
    with pytest.raises(ConfigError, match=says):
        resolve(parse_config(f"{STREAMS}[metrics]\n{line}\n"), Path("/tmp"))


def test_settings_are_off_unless_said() -> None:
    """Nothing listens and nothing is written by default."""
    silent = resolve(parse_config(STREAMS), Path("/etc"))
    assert (silent.metrics_listen, silent.metrics_textfile) == (None, None)
    told = resolve(
        parse_config(f'{STREAMS}[metrics]\nlisten = "[::1]:9464"\ntextfile = "a.prom"\n'), Path("/etc")
    )
    assert (told.metrics_listen, told.metrics_textfile) == (("::1", 9464), Path("/etc/a.prom"))
