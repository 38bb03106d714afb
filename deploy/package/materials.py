"""Print the bill of materials of a device's installation as CycloneDX JSON: requirements/edge.txt with its hashes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Let cyclonedx-py read the lock file; leave out what differs from one build to the next."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible"]
    command += ["--pyproject", "pyproject.toml", "requirements/edge.txt"]
    printed = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    bill = json.loads(printed)
    bill.pop("serialNumber", None)
    bill.get("metadata", {}).pop("timestamp", None)
    print(json.dumps(bill, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
