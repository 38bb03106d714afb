"""A plant's readings in Flink's mini-cluster, a process killed in the middle, beside one device: `make test-flink`.

Figures go to build/bench/flink.json.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edgeseq.capture import read_capture
from edgeseq.replay import Tally, open_for_replay, replay, to_line, wanted_only
from edgeseq_flink.bucket import Bucket, settle
from edgeseq_flink.job import KINDS, Job, build, environment
from tests.flink.work import CONFIG, STATES, KilledOnce, digests, readings

STREAMS = int(os.environ.get("STREAMS", "1000"))
STEPS = int(os.environ.get("STEPS", "40"))
PARALLELISM = 2
WANTED = {(kind, told) for kind in ("silent", "out_of_range") for told in ("opened", "cleared")}
"""What happens to the plant."""
BENCH = Path("build/bench/flink.json")


class Outcome(NamedTuple):
    """What came of the readings."""

    states: dict[str, str]
    """Stream → digest of its whole state."""
    said: set[str]
    """All else that is told, each as often as it likes."""
    alerts: dict[tuple[str, int], Any]
    """Id and number → payload."""
    lines: int
    seconds: float


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and its readings."""
    folder = tmp_path_factory.mktemp("plant")
    (folder / "edgeseq.toml").write_text(CONFIG, encoding="utf-8")
    with (folder / "readings.jsonl").open("wb") as file:
        file.writelines(readings(STREAMS, STEPS))
    return folder


def outcome(lines: Iterable[bytes | str], states: dict[str, str], seconds: float) -> Outcome:
    """Sort lines."""
    said: set[str] = set()
    alerts: dict[tuple[str, int], Any] = {}
    count = 0
    for line in lines:
        told = json.loads(line)
        topic, payload = told["topic"], told["payload"]
        if topic == STATES:
            states |= payload
            continue
        count += 1
        if topic.endswith("/alert"):
            alerts[payload["id"], payload["seq"]] = payload
        else:
            said.add(json.dumps(told))
    return Outcome(states, said, alerts, count, seconds)


def on_a_device(plant: Path) -> Outcome:
    """Replay the readings on one device."""
    begun = time.monotonic()
    node = open_for_replay(plant / "edgeseq.toml", None, save_state=False)
    messages = read_capture(plant / "readings.jsonl", node.resolved.rules)
    lines = [to_line(out) for out in wanted_only(replay(node, messages, Tally()), KINDS)]
    seconds = time.monotonic() - begun
    bucket = Bucket(settle(plant / "edgeseq.toml"))
    bucket.node = node
    return outcome(lines, digests(bucket), seconds)


def in_flink(plant: Path) -> Outcome:
    """Run the job, which loses a process after its first checkpoint."""
    job = Job(
        plant / "edgeseq.toml", plant / "out", plant / "readings.jsonl", parallelism=PARALLELISM, buckets=16,
        checkpoints=plant / "checkpoints", checkpoint_every_ms=1000,
    )  # fmt: skip
    (plant / "checkpoints").mkdir()
    core = KilledOnce(str(job.config), STREAMS * STEPS // 8, str(job.checkpoints), str(plant))
    env = environment(job)
    build(env, job, core)
    begun = time.monotonic()
    env.execute("edgeseq")
    seconds = time.monotonic() - begun
    files = sorted(f for f in (plant / "out").rglob("*") if f.is_file() and not f.name.startswith("."))
    return outcome((line for f in files for line in f.read_text(encoding="utf-8").splitlines()), {}, seconds)


@pytest.mark.timeout(1800)
def test_a_killed_task_changes_neither_states_nor_alerts(plant: Path) -> None:
    """States, alerts and payloads of a plant in Flink are those of one device, though a process was killed."""
    alone = on_a_device(plant)
    there = in_flink(plant)

    assert (plant / "killed").exists()
    restored = [json.loads(line) for line in (plant / "restored").read_text(encoding="utf-8").splitlines()]
    assert restored
    assert len(alone.states) == STREAMS
    assert {(a["kind"], a["event_type"]) for a in alone.alerts.values()} >= WANTED
    assert there.states == alone.states
    assert there.alerts == alone.alerts
    assert there.said == alone.said
    tell(plant, alone, there, restored)


def tell(plant: Path, alone: Outcome, there: Outcome, restored: list[dict[str, int]]) -> None:
    """Write the figures."""
    with (plant / "readings.jsonl").open("rb") as file:
        count = sum(1 for _ in file)
    told = {
        "streams": STREAMS, "readings": count, "parallelism": PARALLELISM, "alerts": len(alone.alerts),
        "buckets_restored": len(restored), "device_readings_per_s": round(count / alone.seconds),
        "flink_readings_per_s_with_start_and_restart": round(count / there.seconds),
        "lines": there.lines, "lines_of_a_device": alone.lines,
    }  # fmt: skip
    BENCH.parent.mkdir(parents=True, exist_ok=True)
    BENCH.write_text(json.dumps(told, indent=1), encoding="utf-8")
    print(json.dumps(told))
