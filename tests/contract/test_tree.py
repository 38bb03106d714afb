"""What no file of the project may hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_OURS = re.compile(
    r"(\.venv.*|\.git|build|dist|__pycache__|\.[a-z_]+_cache|\.hypothesis|.*\.(whl|gz|png))"
)

DOWNLOAD_ADDRESS = re.compile(
    r"pypi\.org|pythonhosted\.org|anaconda\.(com|org)|huggingface\.co|download\.pytorch|deb\.debian"
    r"|--(extra-)?index-url|--find-links|--trusted-host"
)
MACHINE_PATH = re.compile(r"(?<![\w.$}*/-])/(?:work|root|Users|home/\w+)(?:/|\b)")


def our_files() -> list[Path]:
    """List the files of the project, without environments, caches and results."""
    found: list[Path] = []
    folders = [ROOT]
    while folders:
        for path in folders.pop().iterdir():
            if NOT_OURS.fullmatch(path.name):
                continue
            (folders if path.is_dir() else found).append(path)
    return sorted(set(found) - {Path(__file__)})  # this file names what it looks for


@pytest.mark.parametrize(
    ("what", "pattern"),
    [("download address", DOWNLOAD_ADDRESS), ("path of one machine", MACHINE_PATH)],
    ids=["download_address", "machine_path"],
)
def test_no_file_holds(what: str, pattern: re.Pattern[str]) -> None:
    """No file holds the address of a package registry or a path that exists on one machine only."""
    files = our_files()
    assert ROOT / "pyproject.toml" in files
    found = [
        f"{path.relative_to(ROOT)}:{number}: {what}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (DOWNLOAD_ADDRESS, "pip install --index-url x"),
        (DOWNLOAD_ADDRESS, "see files.pythonhosted.org"),
        (MACHINE_PATH, "open('/work/data')"),
        (MACHINE_PATH, "cd /home/ann/edgeseq"),
        (MACHINE_PATH, "/root"),
    ],
)
def test_pattern_finds(pattern: re.Pattern[str], line: str) -> None:
    """The patterns find what they look for."""
    assert pattern.search(line)
