"""A clean Debian with a copy of this repository, in which a script is run as somebody would type it. Needs root.

Packages come as they do on this machine: its settings of pip, apt, certificates and names are lent to the tree.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.support.blocks import ROOT

HERE = "srv/edgeseq"
"""Where the copy of the repository lies in the tree."""
HOME = "/srv"
"""Of whoever types there."""
LENT = (
    "etc/resolv.conf",
    "etc/hosts",
    "etc/ssl/certs/ca-certificates.crt",
    "etc/apt/apt.conf.d",
    "etc/pip.conf",
)
"""Settings of this machine by which packages are reached."""
PASSED = re.compile(r"PIP_\w+|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|(https?|no)_proxy", re.IGNORECASE)
PATIENCE_S = 3600.0
"""For all of it: packages are fetched, some gigabytes."""
ENTER = """
for n in sys dev $2; do mkdir -p "$1/$n"; mount --rbind "/$n" "$1/$n"; done
mount -t proc proc "$1/proc"
exec chroot "$1" /bin/bash -c "cd $3 && exec bash guide.sh"
"""
"""In processes and mounts of its own, which end with it."""


class Clean:
    """The unpacked tree."""

    def __init__(self, archive: Path, root: Path) -> None:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        subprocess.run(["tar", "--extract", "--file", str(archive), "--directory", str(root)], check=True)
        self.root = root
        self.here = root / HERE
        self.here.mkdir(parents=True)
        copied = subprocess.check_output(["git", "-C", str(ROOT), "archive", "HEAD"])
        subprocess.run(["tar", "--extract", "--directory", str(self.here)], input=copied, check=True)
        for path in LENT:
            _lend(Path("/") / path, root / path)
        _lend(Path.home() / ".config/pip", root / HOME.lstrip("/") / ".config/pip")

    def run(self, script: str, told: Path) -> int:
        """Run a script in the copy of the repository → its exit code; what it tells goes to a file."""
        (self.here / "guide.sh").write_text(script, encoding="utf-8")
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", ENTER, "enter"]
        command += [str(self.root), " ".join(_indexes()), f"/{HERE}"]
        environment = {name: value for name, value in os.environ.items() if PASSED.fullmatch(name)}
        environment |= {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": HOME,
            "LANG": "C.UTF-8",
        }
        with told.open("wb") as out:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environment,
                check=False,
                timeout=PATIENCE_S,
            )
        return done.returncode


def _lend(ours: Path, theirs: Path) -> None:
    if ours.is_dir():
        shutil.copytree(ours, theirs, dirs_exist_ok=True)
    elif ours.exists():
        theirs.parent.mkdir(parents=True, exist_ok=True)
        theirs.unlink(missing_ok=True)
        shutil.copy(ours, theirs)


def _indexes() -> list[str]:
    """List the folders of this machine that pip looks for packages in, without their first slash."""
    told = subprocess.check_output(["pip", "config", "list"], text=True, stderr=subprocess.DEVNULL)
    named = re.findall(r"(?:file://|(?<=[' ]))(/[\w./-]+)", told)
    tops = {Path(name).parts[1:3] for name in named if Path(name).is_dir()}
    return sorted(str(Path(*top)) for top in tops)
