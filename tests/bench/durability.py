"""What survives what: kills, network cuts, broker restarts, failing I/O calls, long journals, the wear of the flash.

    make bench-durability [KILLS=500] [ONLY=kills,cuts]        # build/bench/durability.json

Each part is a module `tests.bench.durability_<part>` with `run() -> (rows, figures)`: rows make the table, figures are
flat and named for good. Parts may be run alone; what other parts found before stays in the file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULT = Path("build/bench/durability.json")
PARTS = ("kills", "cuts", "io", "strace", "restart", "modes", "flash")
"""In the order in which they are run."""


def merge_figures(
    part: str, rows: Sequence[Mapping[str, Any]], figures: Mapping[str, Any], path: Path = RESULT
) -> None:
    """Put a part's rows and figures into the result; what the other parts found stays."""
    found = json.loads(path.read_text()) if path.exists() else {"rows": [], "figures": {}}
    kept = [row for row in found["rows"] if row["part"] != part]
    merged = {
        "rows": kept + [{"part": part, **row} for row in rows],
        "figures": found["figures"] | dict(figures),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(merged, indent=1) + "\n")


def show(part: str, rows: Sequence[Mapping[str, Any]], figures: Mapping[str, Any]) -> None:
    """Print a part's table and figures."""
    console = Console()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(*columns, title=part)
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    console.print(table)
    for name, value in figures.items():
        console.print(f"{name:<32}{value}")


def main() -> int:
    """Run the parts asked for, one after the other, keeping each one's result at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="parts, with commas between them; default: all")
    wanted = [part for part in parser.parse_args().only.split(",") if part] or PARTS
    if unknown := [part for part in wanted if part not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    broken: list[str] = []
    for part in wanted:
        rows, figures = importlib.import_module(f"tests.bench.durability_{part}").run()
        merge_figures(part, rows, figures)
        show(part, rows, figures)
        broken += [f"{name} is {value}" for name, value in figures.items() if is_broken(name, value)]
    print("\n".join(broken), file=sys.stderr)
    return 1 if broken else 0


def is_broken(name: str, value: object) -> bool:
    """Tell whether a figure says that a promise was not kept.

    >>> is_broken("cuts_lost", 3), is_broken("state_bit_equal", 1), is_broken("kills", 500)
    (True, False, False)
    """
    if name.endswith("state_bit_equal"):
        return value != 1
    return name.endswith(("_lost", "applied_twice", "corrupt_states")) and value != 0


if __name__ == "__main__":
    sys.exit(main())
