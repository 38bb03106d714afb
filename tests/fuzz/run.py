"""Fuzz every reader and tell what was found: `make fuzz [RUNS=1000000] [ONLY=payload,config]`; build/bench/fuzz.json.

The readers of bytes run under atheris, each in a process of the environment PYTHON; bundles and models are damaged
RUNS / 1000 times and offered to a daemon (`tests.fuzz.damage`).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

TARGETS = ("payload", "sparkplug", "influx", "packet", "journal", "snapshot", "bundle", "config")
DAMAGE = ("bundles", "models")
FOLDER = Path("build/fuzz")
RESULT = Path("build/bench/fuzz.json")
LEAST_EXECUTIONS, LEAST_DAMAGED = 1_000_000, 1000


def main() -> int:
    """Fuzz, print the table, write the figures; 1 where something came out that should not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=LEAST_EXECUTIONS)
    parser.add_argument("--only", default=",".join((*TARGETS, *DAMAGE)))
    parser.add_argument("--python", default=".venv-fuzz/bin/python", help="where atheris is installed")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := [name for name in names if name not in (*TARGETS, *DAMAGE)]:
        parser.error(f"no target {unknown[0]}: it is one of {', '.join((*TARGETS, *DAMAGE))}")
    rows = {row["target"]: row for row in json.loads(RESULT.read_text())["rows"]} if RESULT.exists() else {}
    for name in names:
        damaged = max(1, options.runs // 1000)
        found = fuzzed(name, options.runs, options.python) if name in TARGETS else offered(name, damaged)
        rows[name] = {"target": name, **found}
        tell(rows[name])
        keep(rows)
    return 1 if any(row["crashes"] for row in rows.values()) else 0


def fuzzed(name: str, runs: int, python: str) -> dict[str, Any]:
    """Run one target under atheris; a process that dies is a crash."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [python, "-m", "tests.fuzz.child", name, str(runs), str(folder)]
    with (folder / "log.txt").open("wb") as log:
        done = subprocess.run(command, stdout=log, stderr=log, check=False)
    result = folder / "result.json"
    found: dict[str, Any] = json.loads(result.read_text()) if result.exists() else {"executions": 0}
    if found["executions"] < runs:
        died = f"the process ended with {done.returncode}: see {folder}/log.txt"
        found |= {"crashes": found.get("crashes", 0) + 1, "failures": {**found.get("failures", {}), died: 1}}
    return found


def offered(kind: str, count: int) -> dict[str, Any]:
    """Offer damaged bundles to a daemon, in a process of its own."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.damage", kind, str(count)]
    with (FOLDER / f"{kind}.txt").open("wb") as log:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, check=False)
    if done.returncode:
        died = f"the daemon ended with {done.returncode}: see {FOLDER}/{kind}.txt"
        return {"executions": 0, "crashes": 1, "failures": {died: 1}}
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def tell(row: dict[str, Any]) -> None:
    """Print a row, and what failed."""
    known = ("target", "executions", "crashes", "failures")
    more = {key: value for key, value in row.items() if key not in known}
    print(
        f"{row['target']:<12}{row['executions']:>12,} executions{row['crashes']:>6} crashes   {more}",
        flush=True,
    )
    for kind, count in row["failures"].items():
        print(f"{'':12}{count:>12,} x {kind}", flush=True)


def keep(rows: dict[str, Any]) -> None:
    """Write the figures: of those targets that were run, and of all together."""
    read = [row["executions"] for name, row in rows.items() if name in TARGETS]
    damaged = [row["executions"] for name, row in rows.items() if name in DAMAGE]
    figures = {
        "targets": len(read),
        "least_executions": min(read, default=0),
        "least_damaged": min(damaged, default=0),
        "crashes": sum(row["crashes"] for row in rows.values()),
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(
        json.dumps({"figures": figures, "rows": list(rows.values())}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    sys.exit(main())
