"""Habits of the command line: JSON where results are printed, suggestions, completion."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edgeseq import cli
from edgeseq.bundle.keys import load_signing_key, write_public_key
from edgeseq.cli import COMMANDS, edgeseq
from edgeseq.commands.completion import FILES
from edgeseq.errors import EXIT_CONFIG, EXIT_FAILED_CHECK, EXIT_OK, EXIT_USAGE
from tests.support.tiny_bundle import tiny_bundle_path

SILENT = {
    "run": "prints nothing but its log, which is JSON",
    "train": "writes files; what is printed is progress",
    "impute": "writes a file",
    "keygen": "writes files",
    "completion": "prints a shell's script",
    "demo": "writes a report",
    "demo sine": "writes a report",
    "dashboard": "serves until it is stopped",
    "config schema": "prints JSON anyway",
    "alerts export": "writes CSV or JSON lines",
    "tune model": "writes a recipe",
    "backtest": "writes a JSON file",
    "record": "writes a file",
    "push": "tells its progress",
    "support": "writes a file",
}
"""Commands without --json, and why."""


def commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """List all commands that are no groups."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group) and not command.invoke_without_command:
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


def run(*words: str) -> int:
    """Run a command as the shell would, in this process."""
    return cli.exit_code(lambda: edgeseq(words, standalone_mode=False))


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Make a configuration beside a bundle."""
    (tmp_path / "edgeseq.toml").write_text(
        '[node]\nstate_dir = "state"\n[mqtt]\nhost = "127.0.0.1"\nport = 1\n'
        '[[streams]]\ntopic = "t/+"\nfield = "v"\nevery = "1m"\n'
    )
    (tmp_path / "state").mkdir()
    tiny = tiny_bundle_path(request.config)
    shutil.copy(tiny, tmp_path / "tiny.edgeseq")
    write_public_key(load_signing_key(tiny.parent / "signing.key").public_key(), tmp_path / "trusted")
    (tmp_path / "readings.jsonl").write_text(
        "".join(
            json.dumps({"topic": "t/a", "payload": {"v": i % 7}, "received": 1_790_000_000 + 60 * i}) + "\n"
            for i in range(50)
        )
    )
    return tmp_path


def test_commands_that_print_results_have_json() -> None:
    """Each command has --json, or a reason not to."""
    without = {
        name
        for name, command in commands(edgeseq)
        if not any("--json" in option.opts for option in command.params)
    }
    assert without <= SILENT.keys(), "give it --json, or say here why not"


@pytest.mark.parametrize(
    ("words", "code", "keys"),
    [
        (["doctor", "--config", "edgeseq.toml"], EXIT_FAILED_CHECK, {"verdict", "check", "found"}),
        (["config", "check", "--config", "edgeseq.toml"], EXIT_OK, {"broker", "subscribe", "tables"}),
        (["config", "show", "--config", "edgeseq.toml"], EXIT_OK, {"configuration", "from_environment"}),
        (["config", "show", "--defaults"], EXIT_OK, {"configuration"}),
        (["bundle", "list", "."], EXIT_OK, {"path", "sha256", "label", "channels", "fault"}),
        (["bundle", "show", "tiny.edgeseq"], EXIT_OK, {"path", "manifest"}),
        (
            ["bundle", "verify", "--trusted", "trusted", "--runtime", "numpy", "tiny.edgeseq"],
            EXIT_OK,
            {"label", "proofs"},
        ),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_json_is_what_is_printed_and_nothing_else(
    words: list[str],
    code: int,
    keys: set[str],
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With --json standard output is JSON, one value or one a line, whatever else there is to say."""
    monkeypatch.chdir(folder)
    assert run(*words, "--json") == code
    printed = capfd.readouterr().out
    values = (
        [json.loads(printed)] if words[1] == "show" else [json.loads(line) for line in printed.splitlines()]
    )
    assert values
    assert all(value.keys() >= keys for value in values)


def test_json_of_a_replay_sums_up_on_stderr(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay's results are JSON lines anyway; what it did is told beside them."""
    monkeypatch.chdir(folder)
    assert run("replay", "--input", "readings.jsonl", "--topics", "forecast", "--json") == EXIT_OK
    told = capfd.readouterr()
    account = json.loads(told.err.splitlines()[-1])
    assert (account["messages"], account["applied"]) == (50, 50)
    assert account["published"]["forecast"] == len(told.out.splitlines())


def test_json_of_a_damaged_bundle_says_so(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged bundle is a line of its own, and the exit code tells."""
    monkeypatch.chdir(folder)
    (folder / "bad.edgeseq").write_bytes(b"no bundle")
    assert run("bundle", "list", ".", "--json") == EXIT_FAILED_CHECK
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["fault"] is None for line in lines] == [False, True]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["doctr"], "Did you mean 'doctor'?"),
        (["tune", "alrts"], "Did you mean 'alerts'?"),
        (["config", "chekc"], "'check'"),
        (["doctor", "--confg", "x"], "'--config'"),
        (["xyzzy"], "There are run, "),
        (["completion", "powershell"], "'fish'"),
        (["alerts", "acknowledge", "wkot55bcez6yq2kb", "cellar"], "'cellar' is no id of an alert"),
        (["alerts", "label", "1", "real"], "'1' is no id of an alert"),
    ],
)
def test_mistyped_word_is_answered_by_the_right_one(
    words: list[str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A mistyped command or option is a usage error that says what may have been meant."""
    assert run(*words) == EXIT_USAGE
    assert says in capfd.readouterr().err


def test_mistyped_key_is_answered_by_the_right_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A mistyped key of the configuration too."""
    path = tmp_path / "edgeseq.toml"
    path.write_text('[mqtt]\nhots = "a"\n')
    assert run("config", "check", "--config", str(path)) == EXIT_CONFIG
    assert "did you mean host?" in capfd.readouterr().err


@pytest.mark.parametrize("shell", FILES)
def test_completion_of_a_shell_is_printed(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The script names edgeseq and the variable that makes it answer."""
    assert run("completion", shell) == EXIT_OK
    assert "_EDGESEQ_COMPLETE" in capfd.readouterr().out


def test_completion_answers_without_importing_commands() -> None:
    """A shell that asks for a word gets the commands, at the cost of the command line alone."""
    code = (
        "import sys, edgeseq.cli; sys.argv = ['edgeseq']\n"
        "try: edgeseq.cli.main()\n"
        "except SystemExit: pass\n"
        "print(*{'numpy', 'paho', 'edgeseq_train', 'tensorflow'} & {*sys.modules})"
    )
    asked = {"_EDGESEQ_COMPLETE": "bash_complete", "COMP_WORDS": "edgeseq ", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **asked}, check=True
    )
    *told, imported = done.stdout.split("\n")[:-1]
    assert {line.removeprefix("plain,") for line in told} == COMMANDS.keys()
    assert imported == ""
