"""A sample of what fails in the real process, by strace: the n-th system call of a kind, while it commits or reloads.

    make bench-durability ONLY=strace

strace is attached to a daemon that runs and reads, lets one call fail or kills the process there, and is detached.
More is published; in the end all that was published must have been committed once, and the state must be, bit for
bit, that of the core over the journal.
"""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench import durability_audit as audit
from tests.support import hoarding
from tests.support.broker import PATIENCE_S, Broker, Peer, wait_until
from tests.support.node import Node, node_in

ROOT = Path(__file__).parents[2]
T0_S = 1_760_000_000
STREAMS = 5
RULES = (
    '[[streams]]\ntopic = "plant/+"\nfield = "value"\ntime = "time"\nevery = "10s"\nlimits = { max = 9 }\n'
)
SETTLED_S = 3.0
"""So long an injection is waited for that does not come."""


class Injection(NamedTuple):
    """What happens to a system call; `when` counts them."""

    operation: str
    """commit or reload."""
    calls: str
    """As strace names a set of them."""
    what: str
    when: int


SAMPLE = (
    Injection("commit", "pwrite64", "error=ENOSPC", 1),
    Injection("commit", "fdatasync", "error=EIO", 1),
    Injection("commit", "fdatasync", "signal=SIGKILL", 1),
    Injection("reload", "/^rename", "error=EIO", 1),
    Injection("reload", "fsync", "signal=SIGKILL", 2),
)
"""For everybody's test run."""

WHOLE = tuple(
    Injection(operation, calls, what, when)
    for operation, most in (("commit", 1), ("reload", 4))
    for calls in ("pwrite64", "fdatasync", "fsync", "/^rename", "/^unlink")
    for what in ("error=EIO", "error=ENOSPC", "signal=SIGKILL")
    for when in range(1, most + 1)
)


def run() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Try the whole list; give rows and figures."""
    with tempfile.TemporaryDirectory(prefix="edgeseq-") as folder:
        rows, books = campaign(Path(folder), WHOLE)
    met = sum(row["met"] for row in rows)
    return rows, {"strace_calls_failed": met} | {f"strace_{name}": value for name, value in books.items()}


def campaign(folder: Path, injections: tuple[Injection, ...]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Try injections one after the other on one state folder → rows, and the books at the end."""
    broker = Broker(folder / "broker")
    broker.start()
    hoard = folder / "hoard"
    hoard.mkdir()
    rows = []
    with node_in(folder / "node", broker.port, RULES, node='clock = "readings"') as node:
        node.interpreter = ["-m", "tests.support.hoarding"]
        watcher, sensor = Peer(broker.port, "edgeseq/n/+/forecast"), Peer(broker.port)
        try:
            _start(node, hoard)
            node.wait_for_event("broker.connected")
            for number, injection in enumerate(injections):
                rows.append(_try(node, hoard, sensor, watcher, injection, number))
            assert node.stop() == 0, node.text()[-4000:]
        finally:
            watcher.close()
            sensor.close()
            broker.kill()
        return rows, _books(node, hoard, len(injections))


def _try(
    node: Node, hoard: Path, sensor: Peer, watcher: Peer, injection: Injection, number: int
) -> dict[str, Any]:
    """Let one call fail; publish before it is over and afterwards."""
    told = len(node.text())
    with _strace(node, injection) as trace:
        _publish(sensor, 2 * number)
        if injection.operation == "reload":
            node.process.send_signal(signal.SIGHUP)
        deadline_s = time.monotonic() + SETTLED_S
        while "INJECTED" not in trace.read_text() and time.monotonic() < deadline_s:
            time.sleep(0.01)
        is_met = "INJECTED" in trace.read_text() or node.process.poll() is not None
    if injection.what == "signal=SIGKILL" and is_met:
        assert node.died_of_failpoint()
    if node.process.poll() is not None:
        assert node.process.returncode == -signal.SIGKILL, node.text()[-4000:]
        _start(node, hoard)
    _publish(sensor, 2 * number + 1)
    _wait_for(watcher, 2 * number + 1)
    said = [json.loads(line)["event"] for line in node.text()[told:].splitlines() if line.startswith("{")]
    kept = ("storage.failed", "storage.recovered", "snapshot.failed", "config.rejected", "config.reloaded")
    outcome = [name for name in dict.fromkeys(said) if name in kept]
    if injection.what == "signal=SIGKILL" and is_met:
        outcome.insert(0, "killed")
    return {**injection._asdict(), "met": is_met, "outcome": ", ".join(outcome)}


def _books(node: Node, hoard: Path, injections: int) -> dict[str, int]:
    """Compare the journal with what was published, and the state with the journal."""
    found = audit.committed(node.config, hoard, node.state_dir)
    published = [
        (f"plant/{stream}", _value(stream, step))
        for step in range(2 * injections)
        for stream in range(STREAMS)
    ]
    return {
        "lost": len(audit.lost(found, published)),
        "applied_twice": len(audit.applied_twice(found, dict.fromkeys(published, 1))),
        "state_bit_equal": int(not audit.differing(node.config, node.state_dir, found.node)),
    }


@contextmanager
def _strace(node: Node, injection: Injection) -> Iterator[Path]:
    """Attach strace to the running process for a while → the file of what it saw."""
    trace = node.folder / "strace.txt"
    trace.write_text("")
    command = [
        "strace", "-f", "-qq", "-p", str(node.process.pid), "-o", str(trace), "-e", f"trace={injection.calls}",
        "-e", f"inject={injection.calls}:{injection.what}:when={injection.when}",
    ]  # fmt: skip
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    status = Path(f"/proc/{node.process.pid}/status")
    try:
        wait_until(
            lambda: f"TracerPid:\t{tracer.pid}\n" in status.read_text() or tracer.poll(), "strace attached"
        )
        assert tracer.poll() is None, tracer.communicate()[1]
        yield trace
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=PATIENCE_S)


def _start(node: Node, hoard: Path) -> None:
    node.start(**{"PYTHONPATH": str(ROOT), hoarding.ENVIRONMENT: str(hoard)})


def _value(stream: int, step: int) -> float:
    """Make a reading; no stream has one twice, and now and then one is out of range."""
    return round(step % 3 + stream + step / 1000 + 50 * (step % 7 == 0), 3)


def _publish(sensor: Peer, step: int) -> None:
    for stream in range(STREAMS):
        content = {"value": _value(stream, step), "time": T0_S + 10 * step}
        sensor.publish(f"plant/{stream}", json.dumps(content))


def _wait_for(watcher: Peer, step: int) -> None:
    """Wait until every stream's forecast made of that step has been seen."""
    wanted = {_value(stream, step) for stream in range(STREAMS)}
    wait_until(
        lambda: {json.loads(p)["observed"] for p in watcher.last().values()} == wanted,
        f"step {step}",
        2 * PATIENCE_S,
    )
