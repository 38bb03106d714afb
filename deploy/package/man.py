"""Write a man page for each command of the device into a folder. Commands of the workstation are named only."""

from __future__ import annotations

import datetime as dt
import importlib
import os
import sys
from pathlib import Path

from click_man.core import write_man_pages

from edgeseq import __version__
from edgeseq.cli import COMMANDS, TRAINING, edgeseq


def main() -> None:
    """Write the pages."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    # Known by their names alone otherwise, until they are called.
    edgeseq.commands = {
        name: getattr(importlib.import_module(module), attribute)
        for name, (module, attribute, _) in COMMANDS.items()
        if name not in (*TRAINING, "demo")
    }
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    date = dt.datetime.fromtimestamp(seconds, tz=dt.UTC).strftime("%Y-%m-%d")
    write_man_pages("edgeseq", edgeseq, version=__version__, target_dir=str(folder), date=date)


if __name__ == "__main__":
    main()
