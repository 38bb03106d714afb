"""A short life of the daemon in a forked process, which meets one fault and tells what it did before it goes.

All of it is the real daemon but for its link, which only notes what is acknowledged.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from edgeseq import compose, daemon
from edgeseq.adapters import journal, mqtt
from edgeseq.adapters.schedule import TakeSnapshot
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.core import keeping
from edgeseq.core.pipeline import State
from edgeseq.core.types import Message, Reload
from edgeseq.daemon import changes, loop, storing
from edgeseq.errors import StorageError
from tests.support.faulty_os import FaultyOs

T0_S = 1_760_000_000
STREAMS, BATCH = 3, 5
BEFORE, BETWEEN, AFTER = 3, 3, 2
"""Batches delivered before the operation, by the commits that are one, and after the fault."""

CONFIG = """
[node]
name = "n"
clock = "readings"
state_dir = "state"
[[streams]]
topic = "plant/+"
field = "value"
time = "time"
every = "1s"
limits = { max = 9 }
"""
BUNDLE = """
bundle = "served.edgeseq"
[bundles]
trusted_keys = "{}"
"""
MORE = '[[streams]]\ntopic = "other/+"\nevery = "1s"\n'
"""What a reload adds."""

SMALL_CHUNK_BYTES = 1024
"""So that commits let the journal grow."""


class Case(NamedTuple):
    """What fails."""

    operation: str
    call: str
    nth: int
    fault: str


class Life(NamedTuple):
    """What a process has told before it went."""

    is_hit: bool
    is_killed: bool
    acknowledged: int
    """Batches."""
    digest: str
    """Of the state in memory at the end; empty where it was killed."""
    said: list[str]
    calls: dict[str, int]
    """How often the operation made each kind of call."""


class StubLink:
    """A link that notes what is acknowledged."""

    is_connected = True
    alerts_dropped = superseded = published = waiting = generation = 0

    def __init__(self, note: Callable[[str], object]) -> None:
        self._note = note

    def acknowledge(self, _: object) -> None:
        """Note it."""
        self._note("ack")

    def unacknowledged(self) -> list[Any]:
        """Give none."""
        return []

    def __getattr__(self, _: str) -> Callable[..., list[Any]]:
        return lambda *_, **__: []


def make_template(folder: Path, bundle: Path | None = None) -> None:
    """Make a state folder with two snapshots, journals and an unfinished last write."""
    folder.mkdir(parents=True)
    served = ""
    if bundle:
        shutil.copy(bundle, folder / "served.edgeseq")
        served = BUNDLE.format(bundle.parent / "trusted_keys")
    (folder / "edgeseq.toml").write_text(CONFIG + served)
    life = live(folder, None)
    assert life.acknowledged == BEFORE, life
    newest = max((folder / "state").glob("journal-*.bin"))
    contents = journal.read(newest, int(newest.stem.split("-")[1]))
    with newest.open("r+b") as file:
        file.seek(contents.length_bytes)
        file.write(b"REC\x02torn")


def live(folder: Path, case: Case | None) -> Life:
    """Run the case in a process of its own, to the end of its life; None: make what the cases begin with."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _live(folder, case, lambda text: os.write(writer, f"{text}\n".encode()))
        except BaseException as fault:  # noqa: BLE001 - told to the parent, which fails
            os.write(writer, f"raised {fault!r}\n".encode())
            os._exit(1)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        lines = told.read().splitlines()
    _, status = os.waitpid(child, 0)
    is_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert is_killed or status == 0, f"{case}: {lines[-1:]}"
    digests = [line.split()[1] for line in lines if line.startswith("digest ")]
    said = [line.split()[1] for line in lines if line.startswith("said ")]
    calls = {line.split()[1]: int(line.split()[2]) for line in lines if line.startswith("calls ")}
    return Life(
        "hit" in lines or is_killed, is_killed, lines.count("ack"), "".join(digests[-1:]), said, calls
    )


def _live(folder: Path, case: Case | None, note: Callable[[str], object]) -> None:
    os.chdir(folder)
    journal.CHUNK_BYTES = SMALL_CHUNK_BYTES
    storing.STORAGE_RETRY_S = (0.001, 0.002)
    for module in (loop, changes):
        vars(module)["open_link"] = lambda *_, **__: StubLink(note)
    vars(changes)["open_log"] = lambda _: lambda event, **__: note(f"said {event}")
    if case is None:
        running = _daemon(folder, note)
        for number in range(BEFORE):
            _deliver(running, number)
            running.take([TakeSnapshot()])
        return
    faulty = FaultyOs(folder, case.call, case.nth, case.fault)
    if case.operation == "start":
        with faulty.armed():
            running = _daemon(folder, note, is_retried=True)
    else:
        running = _daemon(folder, note)
        with faulty.armed():
            OPERATIONS[case.operation](running)
    if faulty.is_hit:
        note("hit")
    for call, times in faulty.seen.items():
        note(f"calls {call} {times}")
    for number in range(BEFORE + BETWEEN, BEFORE + BETWEEN + AFTER):
        _deliver(running, number)
    note(f"digest {digest(running.node.state)}")


def _daemon(folder: Path, note: Callable[[str], object], *, is_retried: bool = False) -> daemon.Daemon:
    def log(event: str, **_: Any) -> None:
        note(f"said {event}")

    path = folder / "edgeseq.toml"
    resolved = daemon.read_config(path)
    while True:
        try:
            node = compose.open_node(resolved, state_dir=resolved.state_dir, log=log)
            break
        except StorageError:
            log("refused")
            if not is_retried:
                raise
    return daemon.Daemon(path, node, log, Notifier(None))


def _deliver(running: daemon.Daemon, number: int) -> None:
    running.take([mqtt.Deliveries(batch(number), 0)])
    running.commit()


def _commit(running: daemon.Daemon) -> None:
    for number in range(BEFORE, BEFORE + BETWEEN):
        _deliver(running, number)


def _reload(running: daemon.Daemon) -> None:
    with Path("edgeseq.toml").open("a") as file:
        file.write(MORE)
    running.take([Reload()])


def _install(running: daemon.Daemon) -> None:
    path = Path("served.edgeseq")
    shutil.copy(path, "new")
    Path("new").rename(path)
    running.take([Reload()])


BUNDLE_INSTALL = "bundle install"
OPERATIONS: dict[str, Callable[[daemon.Daemon], None]] = {
    "start": lambda _: None,
    "commit": _commit,
    "snapshot and rotation": lambda running: running.take([TakeSnapshot()]),
    "reload": _reload,
    BUNDLE_INSTALL: _install,
}


def numbers_of(operation: str) -> list[int]:
    """List the batches of a case in their order."""
    between = range(BEFORE, BEFORE + BETWEEN) if operation == "commit" else range(0)
    return [*range(BEFORE), *between, *range(BEFORE + BETWEEN, BEFORE + BETWEEN + AFTER)]


def batch(number: int) -> list[Message]:
    """Make the messages of a batch, always the same ones."""
    found = []
    for k in range(BATCH):
        step = number * BATCH + k
        content = {"value": step % 7 + 50 * (step % 9 == 0), "time": T0_S + step}
        found.append(Message(f"plant/{step % STREAMS}", json.dumps(content).encode(), (T0_S + step) * 10**9))
    return found


def digest(state: State) -> str:
    """Tell a state by its bytes; of a rule without streams there are none."""
    header, arrays = keeping.dump(state)
    known = sha256(json.dumps([header["streams"], header["clock_ns"]]).encode())
    for name in sorted(arrays):
        known.update(name.encode() + arrays[name].tobytes() if arrays[name].size else b"")
    return known.hexdigest()
