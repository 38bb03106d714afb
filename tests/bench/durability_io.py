"""Every n-th I/O call fails once, over start, commit, snapshot with rotation, reload, and installing a bundle.

    make bench-durability ONLY=io

For each operation, each kind of call and each fault: n = 1, 2, 3 … until the operation meets it no more. Each case is
a forked process with the real daemon but for its link. After the operation the fault is over and more is delivered;
then the process goes without a word, and the folder is read by another one. The state found must be, bit for bit, that
of the core over what was acknowledged; where the process was killed, the commit in work may be there too, as a whole.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from edgeseq import compose, daemon
from edgeseq.core import pipeline
from tests.bench.bench_bundle import bench_bundle
from tests.bench.durability_life import (
    BEFORE,
    BUNDLE_INSTALL,
    OPERATIONS,
    Case,
    Life,
    batch,
    digest,
    live,
    make_template,
    numbers_of,
)
from tests.support.faulty_os import faults_of

MEMORY = Path("/dev/shm")
MOST_WITH_BUNDLE = 4
"""Every start with a bundle verifies it in a process of its own."""

TOLD = {
    "storage.failed": "waited, nothing acknowledged meanwhile",
    "snapshot.failed": "snapshot put off",
    "config.rejected": "old configuration kept",
    "refused": "start refused (75), the next one starts",
}


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


def is_state_equal(folder: Path, operation: str, life: Life) -> bool:
    """Compare the folder with the core over what was acknowledged, and so the memory of a process that lived."""
    resolved = daemon.read_config(folder / "edgeseq.toml")
    node = compose.open_node(resolved, state_dir=folder / "state", log=_mute)
    assert node.store is not None
    node.store.close()
    found = digest(node.state)
    expected = compose.open_node(resolved, state_dir=None, log=_mute).state
    done = BEFORE + life.acknowledged
    numbers = numbers_of(operation)
    for number in numbers[:done]:
        pipeline.advance(expected, pipeline.accept(expected, batch(number)).readings)
    if found == digest(expected):
        return life.is_killed or life.digest == found
    if not life.is_killed or done == len(numbers):
        return False
    in_work = batch(numbers[done])
    pipeline.advance(expected, pipeline.accept(expected, in_work).readings)
    return found == digest(expected)


def _mute(_: str, **__: Any) -> None:
    """Take a log line."""
