"""What the daemon costs where nothing is switched on, now and at earlier commits: memory and time to READY.

    make bench-idle BEFORE="COMMIT ..."     # a table, and build/bench/idle.json

Each commit is laid out beside this tree, and runs with this tree's environment. A round starts every daemon in turn,
in another order each time: with an empty state folder (time to READY, resident memory), takes two readings of each of
1,000 streams without a bundle (resident and proportional memory), ends, and starts again with that state (time to
READY). CPU is what the process has used until READY: what else the machine does counts into it less. Medians, and those
of the ratios to the first in the same round.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import click
from paho.mqtt.client import MQTTMessage
from rich.console import Console
from rich.table import Table

from tests.bench.state import NOT_ON_A_DEVICE
from tests.support.broker import Peer, running_broker, wait_until
from tests.support.node import Node, node_in

ROOT = Path(__file__).parents[2]
NOW = "now"
READINGS = 2
"""Of each stream: the second is one to compare with a forecast."""
FIRST_S = 1_760_000_000
TABLE = '[[streams]]\ntopic = "s/+"\nfields = ["value"]\ntime = "ts"\nevery = "10s"\n'
AS_ON_A_DEVICE = f"""
import sys
sys.modules.update(dict.fromkeys({(*NOT_ON_A_DEVICE, "edgeseq_train")}))
from edgeseq.cli import main
main()
"""
FIGURES = {
    "ready_s": "READY, s", "ready_cpu_s": "CPU, s", "restart_s": "again, s", "restart_cpu_s": "CPU, s",
    "ready_rss_mb": "RSS, MB", "rss_mb": "with streams", "pss_mb": "PSS, MB",
}  # fmt: skip


class Side(NamedTuple):
    """A daemon to measure."""

    name: str
    tree: Path
    table: str = TABLE


@click.command()
@click.option(
    "--before", "commits", multiple=True, required=True, help="Commits; the first is compared with."
)
@click.option("--rounds", default=7, show_default=True)
@click.option("--streams", default=1000, show_default=True)
@click.option("-o", "--output", default=Path("build/bench/idle.json"), type=click.Path(path_type=Path))
def bench(commits: tuple[str, ...], rounds: int, streams: int, output: Path) -> None:
    """Measure the daemons in turn, and print what they cost."""
    with tempfile.TemporaryDirectory(prefix="edgeseq-") as name:
        folder = Path(name)
        sides = [laid_out(commit, folder / commit) for commit in (*commits, NOW)]
        sides.append(Side(f"{NOW}, alerts = false", folder / NOW, f"{TABLE}alerts = false\n"))
        found: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}
        for number in range(rounds + 1):
            turn = number % len(sides)
            for side in sides[turn:] + sides[:turn]:
                figures = measured(side, folder / "run", streams)
                if number:  # the first round fills caches
                    found[side.name].append(figures)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"streams": streams, "rounds": rounds, "sides": found}, indent=1) + "\n")
    Console(width=150).print(table(found))


def laid_out(commit: str, tree: Path) -> Side:
    """Lay out the sources of a commit, or those that stand here."""
    tree.mkdir()
    if commit == NOW:
        shutil.copytree(ROOT / "edgeseq", tree / "edgeseq", ignore=shutil.ignore_patterns("__pycache__"))
    else:
        archive = subprocess.check_output(["git", "-C", str(ROOT), "archive", commit, "edgeseq"])
        subprocess.run(["tar", "--extract", "--directory", str(tree)], input=archive, check=True)
    # As an installed package is: compiling would count into the first start.
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(tree)], check=True)
    probe = [sys.executable, "-c", "import edgeseq; print(edgeseq.__file__)"]
    used = subprocess.check_output(probe, env=environment(tree), cwd=tree.parent, text=True)
    assert Path(used).is_relative_to(tree), f"another edgeseq is imported: {used}"
    return Side(commit, tree)


def environment(tree: Path) -> dict[str, str]:
    """Give what a daemon of this tree is started with."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(tree), "MALLOC_ARENA_MAX": "1"}


def measured(side: Side, folder: Path, streams: int) -> dict[str, float]:
    """Start a daemon, let it take readings of all streams, and start it again."""
    with (
        tempfile.TemporaryDirectory(dir=folder.parent) as name,
        running_broker(Path(name) / "broker") as broker,
        node_in(Path(name) / "node", broker.port, side.table, node=f"max_streams = {streams}\n") as node,
        closing(Peer(broker.port)) as sensors,
        closing(Heard(broker.port, "edgeseq/n/+/forecast", "edgeseq/n/bridge/state")) as subscriber,
    ):
        node.interpreter = ["-c", AS_ON_A_DEVICE]
        ready_s, ready_cpu_s = started(node, side.tree)
        wait_until(lambda: subscriber.is_online, "online")
        ready_rss_mb = of_memory(node, "Rss")
        for step in range(READINGS):
            for stream in range(streams):
                payload = {"value": stream + step / 10, "ts": FIRST_S + 10 * step}
                sensors.publish(f"s/{stream}", json.dumps(payload))
            told = (step + 1) * streams
            wait_until(lambda told=told: subscriber.forecasts >= told, "all forecasts")  # type: ignore[misc]
        rss_mb, pss_mb = of_memory(node, "Rss"), of_memory(node, "Pss")
        assert node.stop() == 0, node.text()
        restart_s, restart_cpu_s = started(node, side.tree)
        assert node.stop() == 0, node.text()
    return {
        "ready_s": ready_s, "ready_cpu_s": ready_cpu_s, "restart_s": restart_s, "restart_cpu_s": restart_cpu_s,
        "ready_rss_mb": ready_rss_mb, "rss_mb": rss_mb, "pss_mb": pss_mb,
    }  # fmt: skip


class Heard(Peer):
    """Counts forecasts, and holds nothing against a schema: an earlier daemon's messages need not fit today's."""

    forecasts = 0
    is_online = False

    def _take(self, _: object, __: object, message: MQTTMessage) -> None:
        if message.topic.endswith("/forecast"):
            self.forecasts += 1
        else:
            self.is_online = b'"online"' in message.payload


def started(node: Node, tree: Path) -> tuple[float, float]:
    """Start a daemon → s until READY, s of CPU until then."""
    begun_s = time.monotonic()
    node.start(**environment(tree))
    ready_s = time.monotonic() - begun_s
    tasks = Path(f"/proc/{node.process.pid}/task").glob("*/schedstat")
    return ready_s, sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def of_memory(node: Node, key: str) -> float:
    """Read the daemon's memory (MB)."""
    told = Path(f"/proc/{node.process.pid}/smaps_rollup").read_text(encoding="ascii")
    line = next(line for line in told.splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024 / 1e6


def table(found: dict[str, list[dict[str, float]]]) -> Table:
    """Show medians, and beside them those of the ratios to the first in the same round."""
    shown = Table("daemon", *FIGURES.values())
    first = next(iter(found.values()))
    for name, rounds in found.items():
        shown.add_row(name, *(_cell(rounds, first, key) for key in FIGURES))
    return shown


def _cell(rounds: Sequence[dict[str, float]], first: Sequence[dict[str, float]], key: str) -> str:
    ratio = statistics.median(one[key] / base[key] for one, base in zip(rounds, first, strict=True))
    return f"{statistics.median(one[key] for one in rounds):.3f} ({100 * (ratio - 1):+.1f} %)"


if __name__ == "__main__":
    bench()
