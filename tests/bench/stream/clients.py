"""The clients under test, each a process of its own on a core of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.bench.stream import clocked, readings
from tests.bench.stream.connection import FakeBroker, join
from tests.bench.stream.drive import Ends
from tests.bench.stream.tally import Locate, Located
from tests.bench.stream.warm import Warm
from tests.support.broker import running_broker, wait_until

ROOT = Path(__file__).parents[3]
GENERATOR_CORE, CLIENT_CORE = 0, 1
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_forecast = re.compile(
    rb'/forecast.{0,4}?\{"schema":\d+,"id":"bench-s(\d+)-temperature:(\d+):', re.DOTALL
).search
_echo = re.compile(rb'"seq": ?(\d+)').search


def locate_forecast(buffer: bytes, start: int, end: int) -> Located | None:
    """Find the reading that one of edgeseq's forecasts was made with: its id says stream and step."""
    found = _forecast(buffer, start, end)
    if found is None:
        return None
    stream, step = found.groups()
    return int(step), int(stream)


def locate_echo(buffer: bytes, start: int, end: int) -> Located | None:
    """Find the reading of a peer's result: it carries `seq` on."""
    found = _echo(buffer, start, end)
    return divmod(int(found[1]), readings.STREAMS) if found else None


def cpu_s(pid: int) -> float:
    """Tell the processor time of a process: all threads, user and system; in ticks where the kernel tells no ns."""
    threads = []
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            threads.append(int(path.read_text(encoding="ascii").split()[0]))
    if threads:
        return sum(threads) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@dataclass
class Client:
    """A process that turns readings into results."""

    name: str
    process: subprocess.Popen[bytes]
    ends: Ends

    @property
    def pid(self) -> int:
        """Give its process id."""
        return self.process.pid

    def cpu_s(self) -> float:
        """Tell the processor time it has used."""
        return cpu_s(self.pid)

    def rss_mb(self) -> float:
        """Tell the memory it holds."""
        return self._memory_mb("VmRSS")

    def peak_mb(self) -> float:
        """Tell the most memory it has held."""
        return self._memory_mb("VmHWM")

    def _memory_mb(self, name: str) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return int(status.split(f"{name}:")[1].split()[0]) / 1024


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Let this process and those started meanwhile run on one core, where the machine has several; None: on any."""
    before = os.sched_getaffinity(0)
    cores = set(range(os.cpu_count() or 1))
    os.sched_setaffinity(0, {core} if core in cores and len(cores) > 1 else cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# --- where they connect


class Place(NamedTuple):
    """A broker that clients can be started at, and how the generator gets at their readings and results."""

    port: int
    meet: Callable[[Locate, int, dict[bytes, int]], Ends]
    """Give the ends of a client that was just started: how to find its results, its QoS, where they are published."""
    core: int | None
    """Where its clients run; None: on any core."""
    broker_pid: int | None = None
    """Process of the broker, where it is a real one."""


@contextmanager
def fake_broker() -> Iterator[Place]:
    """Be the broker ourselves: nothing stands between generator and client, and each has a core of its own."""
    fake = FakeBroker()

    def meet(locate: Locate, qos: int, _: dict[bytes, int]) -> Ends:
        connection = fake.accept()
        return Ends(connection, connection, locate, qos)

    try:
        yield Place(fake.port, meet, CLIENT_CORE)
    finally:
        fake.close()


@contextmanager
def real_broker(folder: Path) -> Iterator[Place]:
    """Run mosquitto with the configuration that is shipped, and be two of its clients; all share all cores."""
    ours = ("listener", "allow_anonymous", "persistence", "max_queued_m", "max_inflight", "set_tcp_nodelay")
    shipped = (ROOT / "deploy" / "mosquitto.conf").read_text(encoding="utf-8").splitlines()
    lines = [line for line in shipped if line and not line.startswith(("#", *ours))]
    shutil.rmtree(folder, ignore_errors=True)
    with running_broker(folder, *lines, "log_type subscribe") as broker:

        def meet(locate: Locate, qos: int, results: dict[bytes, int]) -> Ends:
            wait_until(lambda: readings.FILTER in broker.log(), "the client has subscribed")
            sink = join(broker.port, b"sink", results)
            return Ends(join(broker.port, b"source", {}), sink, locate, qos)

        assert broker._process is not None
        yield Place(broker.port, meet, None, broker._process.pid)


# --- the clients


@contextmanager
def edgeseq(
    place: Place, warm: Warm, folder: Path, qos: int, rest: str = "", parts: Path | None = None
) -> Iterator[Client]:
    """Run the daemon, as it is shipped but for the QoS of its subscriptions, and where `parts` is given, a clock."""
    with warm.node(folder, place.port, f"qos = {qos}\n", rest) as node:
        clock = {} if parts is None else {clocked.ENVIRONMENT: str(parts)}
        if clock:
            node.interpreter = ["-m", clocked.__name__]
        with on_core(place.core):
            node.start(**unit_environment(), **clock)
        ends = place.meet(locate_forecast, qos, {b"edgeseq/n/+/forecast": 0})
        ends.next = warm.next
        node.wait_for_event("broker.connected")
        yield Client("edgeseq", node.process, ends)
        if node.process.poll() is None:
            node.stop()


def unit_environment() -> dict[str, str]:
    """Read the variables that the shipped service sets: without them NumPy's threads cost as much as the daemon."""
    unit = (ROOT / "systemd" / "edgeseq.service").read_text(encoding="utf-8").splitlines()
    set_there = [line.removeprefix("Environment=") for line in unit if line.startswith("Environment=")]
    pairs = (variable.split("=", 1) for line in set_there for variable in line.split())
    return {name: value for name, value in pairs if name.endswith("_NUM_THREADS")}


@contextmanager
def peer(place: Place, name: str, command: Sequence[str | Path], qos: int) -> Iterator[Client]:
    """Run another client; the command makes it connect to the place."""
    with on_core(place.core):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        yield Client(name, process, place.meet(locate_echo, qos, {b"out/#": qos}))
    finally:
        process.kill()
        process.wait()


def script(place: Place, name: str, qos: int, python: str | Path = sys.executable) -> list[str | Path]:
    """Give the command of one of the scripts in tests/bench/peers."""
    return [python, "-m", f"tests.bench.peers.{name}", str(place.port), str(qos)]
