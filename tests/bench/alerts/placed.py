"""Where the plan's faults lie in the recordings that were at hand: faults.csv, written once.

    python -m tests.bench.alerts.placed --data folder

`make bench-alerts` compares: in a recording that the file names every fault must lie where the file says.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path

import click

from tests.bench.alerts import clean
from tests.bench.alerts.plan import Placed, place, read_plan

FAULTS = Path(__file__).with_name("faults.csv")
HEAD = (
    "recording", "channel", "kind", "amplitude", "onset", "duration", "after", "season", "lag", "seed",
    "headline", "first", "stop",
)  # fmt: skip


def row(placed: Placed) -> tuple[str, ...]:
    """Write a fault as a row of the file."""
    rest = (int(placed.headline), placed.first, placed.stop)
    return tuple(f"{x:g}" if isinstance(x, float) else str(x) for x in (*astuple(placed.fault), *rest))


def moved(placed: Iterable[Placed], known: Sequence[tuple[str, ...]]) -> list[str]:
    """Name what does not lie as the file says; nothing of recordings that it does not name."""
    found = {row(p) for p in placed}
    names = {r[0] for r in found}
    wanted = {r for r in known if r[0] in names}
    named = {r[0] for r in wanted}
    return sorted(", ".join(r) for r in wanted ^ {r for r in found if r[0] in named})


def read_faults(path: Path = FAULTS) -> list[tuple[str, ...]]:
    """Read the file's rows."""
    with path.open(encoding="utf-8", newline="") as file:
        return [tuple(r) for r in csv.reader(file)][1:]


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
def write(data: Path) -> None:
    """Write faults.csv, where there is none yet: it is not to change."""
    if FAULTS.exists():
        raise click.UsageError(f"{FAULTS} exists: faults are not moved once they are placed")
    plan = read_plan()
    found = (p for recording in clean.find(data) for p in place(recording, plan))
    with FAULTS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        writer.writerows(row(p) for p in found if isinstance(p, Placed))


if __name__ == "__main__":
    write()
