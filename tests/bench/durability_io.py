"""Every n-th I/O call fails once, over start, commit, snapshot with rotation, reload, and stop.

    make bench-durability ONLY=io

For each operation, each kind of call and each fault: n = 1, 2, 3 … until the operation meets it no more. Each case is
a forked process with the real daemon but for its link. After the operation the fault is over and more is delivered;
then the process goes without a word, and the folder is read by another one. The state found must be, bit for bit, that
of the core over what was acknowledged; where the process was killed, the commit in work may be there too, as a whole.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from edgeseq import compose, daemon
from edgeseq.adapters import journal, mqtt
from edgeseq.adapters.schedule import TakeSnapshot
from edgeseq.adapters.sdnotify import Notifier
from edgeseq.core import keeping, pipeline
from edgeseq.core.pipeline import State
from edgeseq.core.types import Message, Reload
from edgeseq.errors import StorageError
from tests.bench.bench_bundle import bench_bundle
from tests.support.faulty_os import FaultyOs, faults_of

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

MEMORY = Path("/dev/shm")
MOST_WITH_BUNDLE = 4
"""Every start with a bundle verifies it in a process of its own."""

SMALL_CHUNK_BYTES = 1024
"""So that commits let the journal grow."""

TOLD = {
    "storage.failed": "waited, nothing acknowledged meanwhile",
    "snapshot.failed": "snapshot put off",
    "config.rejected": "old configuration kept",
    "refused": "start refused (75), the next one starts",
}


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


def run() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run all cases; give the table and its sums."""
    with tempfile.TemporaryDirectory(prefix="edgeseq-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        rows = table(Path(folder))
        rows += table(Path(folder) / "served", MOST_WITH_BUNDLE, bundle=bench_bundle())
    calls = sum(row["calls_failed"] for row in rows)
    equal = sum(row["state_equal"] for row in rows)
    return rows, {"io_calls_failed": calls, "io_corrupt_states": calls - equal}


def table(folder: Path, most: int = sys.maxsize, bundle: Path | None = None) -> list[dict[str, Any]]:
    """Fail every n-th call up to `most` → a row for each operation, call and fault.

    With a bundle: of its installation only, which verifies and opens it and takes a snapshot.
    """
    rows = []
    operations = [name for name in OPERATIONS if (name == BUNDLE_INSTALL) == (bundle is not None)]
    make_template(folder / "template", bundle)
    for operation in operations:
        calls = _tried(folder, Case(operation, "", 0, ""))[0].calls
        for call, fault in [(kind, fault) for kind in calls for fault in faults_of(kind)]:
            nths = range(1, min(most, calls[call]) + 1)
            tried = [_tried(folder, Case(operation, call, nth, fault)) for nth in nths]
            assert all(life.is_hit for life, _ in tried), f"{operation}, {call}, {fault}: a call was not met"
            outcomes = Counter(_outcome(life) for life, _ in tried)
            rows.append({
                "operation": operation, "call": call, "fault": fault, "calls_failed": len(tried),
                "state_equal": sum(is_equal for _, is_equal in tried),
                "outcomes": ", ".join(f"{what} ({n})" for what, n in outcomes.most_common()),
            })  # fmt: skip
    return rows


def _tried(folder: Path, case: Case) -> tuple[Life, bool]:
    """Live through a case → what was told, and whether the state is what it must be."""
    here = folder / "case"
    shutil.copytree(folder / "template", here)
    life = live(here, case)
    is_equal = is_state_equal(here, case.operation, life)
    shutil.rmtree(here)
    return life, is_equal


def _outcome(life: Life) -> str:
    told = [TOLD[name] for name in dict.fromkeys(life.said) if name in TOLD]
    if life.is_killed:
        told.append("killed, the next one starts")
    return " and ".join(told) or "not noticed"


# --- a process --------------------------------------------------------------------------------------------------


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
    daemon.STORAGE_RETRY_S = (0.001, 0.002)
    vars(daemon)["open_link"] = lambda *_, **__: StubLink(note)
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


# --- what must have come of it ----------------------------------------------------------------------------------


def batch(number: int) -> list[Message]:
    """Make the messages of a batch, always the same ones."""
    found = []
    for k in range(BATCH):
        step = number * BATCH + k
        content = {"value": step % 7 + 50 * (step % 9 == 0), "time": T0_S + step}
        found.append(Message(f"plant/{step % STREAMS}", json.dumps(content).encode(), (T0_S + step) * 10**9))
    return found


def is_state_equal(folder: Path, operation: str, life: Life) -> bool:
    """Compare the folder with the core over what was acknowledged, and so the memory of a process that lived."""
    resolved = daemon.read_config(folder / "edgeseq.toml")
    node = compose.open_node(resolved, state_dir=folder / "state", log=_mute)
    assert node.store is not None
    node.store.close()
    found = digest(node.state)
    expected = compose.open_node(resolved, state_dir=None, log=_mute).state
    done = BEFORE + life.acknowledged
    numbers = _numbers(operation)
    for number in numbers[:done]:
        pipeline.advance(expected, pipeline.accept(expected, batch(number)).readings)
    if found == digest(expected):
        return life.is_killed or life.digest == found
    if not life.is_killed or done == len(numbers):
        return False
    in_work = batch(numbers[done])
    pipeline.advance(expected, pipeline.accept(expected, in_work).readings)
    return found == digest(expected)


def _numbers(operation: str) -> list[int]:
    """List the batches of a case in their order."""
    between = range(BEFORE, BEFORE + BETWEEN) if operation == "commit" else range(0)
    return [*range(BEFORE), *between, *range(BEFORE + BETWEEN, BEFORE + BETWEEN + AFTER)]


def digest(state: State) -> str:
    """Tell a state by its bytes; of a rule without streams there are none."""
    header, arrays = keeping.dump(state)
    known = sha256(json.dumps([header["streams"], header["clock_ns"]]).encode())
    for name in sorted(arrays):
        known.update(name.encode() + arrays[name].tobytes() if arrays[name].size else b"")
    return known.hexdigest()


def _mute(_: str, **__: Any) -> None:
    """Take a log line."""
