"""Every fenced block of README.md and docs/ is run by somebody, or read by what it is for; `pytest -rP` lists how.

Guides are typed by tests of their own (RUN_BY). Of all other shell blocks each command is found with its options, of
configurations all is parsed and resolved. What neither holds for has its reason in NOT_RUN; a new block without any of
this fails.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import chdir
from itertools import chain
from pathlib import Path
from typing import Any

import click
import pytest

from edgeseq.cli import edgeseq
from edgeseq.config import parse_config
from edgeseq.config.resolve import resolve
from edgeseq.errors import ConfigError
from tests.support.blocks import ROOT, Block, blocks

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks(page)]
RUN_BY = {
    ("README.md", "Ten minutes"): "tests/guide/chroot_guide.py",
    ("docs/home-assistant.md", "What goes"): "tests/system/test_homeassistant.py",
    ("docs/extend.md", "A decoder in one file"): "tests/contract/test_decoder_docs.py",
}
"""Page and heading → the test that runs what stands there, configurations excepted."""
TYPED_HERE = {("docs/command-line.md", "Environment"), ("docs/command-line.md", "Completion")}
"""Needs nothing but a folder."""
NOT_RUN = {
    "ssh": "wants a second machine",
    "journalctl": "wants a service under systemd: make test-systemd reads its journal",
    "openssl": "belongs to others",
    "chmod": "belongs to others",
    "mosquitto_sub": "listens without end; the guide uses it with an end",
    ".venv-flink/bin/python": "wants Java: make test-flink runs the job",
}
"""Program → why a line that begins with it is not run by this suite."""
STREAM = '[[streams]]\ntopic = "plc/p1/flow"\nevery = "1m"\n'
SEPARATORS = {"|", "&&", "||", ";", "&", ">"}


def commands(text: str) -> Iterator[list[str]]:
    """Give the simple commands of a shell block, without what they are given by variables and files."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        command: list[str] = []
        for word in chain(lexer, ";"):
            if word not in SEPARATORS:
                command.append(word)
                continue
            if word == ">":
                next(lexer)
                continue
            while command and re.fullmatch(r"[A-Z_]+=.*", command[0]):
                del command[0]
            if command:
                yield command
            command = []


def find_command(words: list[str]) -> None:
    """Find a command of edgeseq, and let it read its options; bundles lie in the folder."""
    for word in words:
        if word.endswith(".edgeseq"):
            Path(word).touch()
    command: click.Command = edgeseq
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, name
        command = found
    command.make_context(command.name, words)


def find_target(words: list[str]) -> None:
    """Find a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        name = re.sub(r"^\.venv-\w+/\.installed$", "%/.installed", word)
        assert "=" in word or re.search(rf"^{re.escape(name)}:", makefile, re.MULTILINE), word


def find_extras(words: list[str]) -> None:
    """Find the extras that are to be installed."""
    (what,) = (word for word in words if word != "install")
    extras = re.fullmatch(r"(?:\.|edgeseq)\[([a-z,-]+)\]", what)
    assert extras, what
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])


FINDERS: dict[str, Callable[[list[str]], None]] = {
    "edgeseq": find_command,
    "make": find_target,
    "pip": find_extras,
}


def read_configuration(text: str) -> None:
    """Resolve a configuration; lines without a table are those of a stream's."""
    whole = STREAM + text if not text.startswith("[") or "[[streams]]" not in text else text
    if text.startswith("[") and "[[streams]]" not in text:
        whole = f"{text}\n{STREAM}"
    assert resolve(parse_config(whole), Path("/etc/edgeseq"), environment={"HOME": "nowhere"}).rules


def read_scraping(block: Block) -> None:
    """Find where Prometheus looks: it is where the page lets a node listen."""
    configuration: Any = importlib.import_module("yaml").safe_load(block.text)
    (target,) = configuration["scrape_configs"][0]["static_configs"][0]["targets"]
    assert f'listen = "{target}"' in (ROOT / block.page).read_text(encoding="utf-8")


def type_here(block: Block, folder: Path) -> None:
    """Type a block in a folder that holds a configuration."""
    (folder / "edgeseq.toml").write_text(STREAM, encoding="utf-8")
    (folder / ".config/fish/completions").mkdir(parents=True)
    (folder / "edgeseq").write_text(f'#!/bin/sh\nexec {sys.executable} -m edgeseq "$@"\n', encoding="utf-8")
    (folder / "edgeseq").chmod(0o755)
    environment = {**os.environ, "HOME": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euc", block.text], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def execute(block: Block, folder: Path) -> str:
    """Run a block, or read it as what it is meant for does → how."""
    place = (block.page, block.heading)
    if block.language == "toml":
        read_configuration(block.text)
        return "resolved as a configuration"
    if block.language == "yaml":
        read_scraping(block)
        return "read, and held against the configuration"
    if block.how.startswith("not run: "):
        return block.how
    if place in RUN_BY:
        by = ROOT / RUN_BY[place]
        assert Path(block.page).name in by.read_text(encoding="utf-8"), f"{by} does not read {block.page}"
        return f"run by {RUN_BY[place]}"
    if place in TYPED_HERE:
        type_here(block, folder)
        return "typed"
    if block.language == "sh":
        told = []
        for program, *words in commands(block.text):
            assert program in FINDERS.keys() | NOT_RUN.keys(), f"who runs {program}?"
            if program in FINDERS:
                with chdir(folder):
                    FINDERS[program](words)
            told.append(f"{program}: {NOT_RUN.get(program, 'found with its options')}")
        return "; ".join(dict.fromkeys(told))
    assert not block.language, f"who runs {block.language}?"
    return "a drawing"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_block_is_executed(block: Block, tmp_path: Path) -> None:
    """It has somebody who runs or reads it."""
    print(f"{block.page}:{block.line} {block.language}: {execute(block, tmp_path)}")


def test_reasons_and_tests_are_needed() -> None:
    """Nothing is excused, and no test named, for blocks that there are not."""
    places = {(block.page, block.heading) for block in BLOCKS}
    assert RUN_BY.keys() | TYPED_HERE <= places
    programs = {command[0] for block in BLOCKS if block.language == "sh" for command in commands(block.text)}
    assert NOT_RUN.keys() <= programs


@pytest.mark.parametrize(
    ("language", "text", "error"),
    [
        ("sh", "reboot\n", AssertionError),
        ("sh", "make demo && edgeseq run --fast\n", click.NoSuchOption),
        ("sh", "edgeseq rum\n", AssertionError),
        ("sh", "make nothing\n", AssertionError),
        ("sh", "pip install 'edgeseq[rust]'\n", AssertionError),
        ("toml", "quick = true\n", ConfigError),
        ("lua", "x\n", AssertionError),
    ],
)
def test_block_that_nobody_knows_fails(
    language: str, text: str, error: type[Exception], tmp_path: Path
) -> None:
    """A program, a command, an option, a target, an extra, a key, a language."""
    with pytest.raises(error):
        execute(Block("README.md", 1, "News", language, "", text), tmp_path)
