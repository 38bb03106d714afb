"""The command line: exit codes and what is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgeseq import __version__, errors
from edgeseq.cli import COMMANDS, ENGINE, TRAINING, exit_code


def run(*arguments: str, prelude: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    code = f"import sys\n{prelude}\nfrom edgeseq.cli import main\nsys.argv[0] = 'edgeseq'\nmain()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def failing(fault: BaseException) -> int:
    """Run a command that raises."""

    def command() -> None:
        raise fault

    return exit_code(command)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (errors.ConfigError("x"), 78),
        (errors.BundleError("x"), 78),
        (errors.InputError("x"), 78),
        (errors.LoginError("x"), 78),
        (errors.BrokerError("x"), 75),
        (errors.StorageError("x"), 75),
        (errors.InternalError("x"), 70),
        (RuntimeError("x"), 70),
        (OSError("x"), 75),
        (click.UsageError("x"), 64),
        (click.exceptions.Exit(1), 1),
        (KeyboardInterrupt(), 130),
        (ModuleNotFoundError("No module named 'polars'", name="polars"), 78),
        (ModuleNotFoundError("No module named 'edgeseq.x'", name="edgeseq.x"), 70),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, BaseException) else str(x),
)
def test_exit_code_tells_who_must_act(fault: BaseException, code: int) -> None:
    """Each fault has the exit code of sysexits.h that tells systemd and scripts what to do."""
    assert failing(fault) == code


def test_exit_code_of_success_and_of_a_verdict() -> None:
    """A command that returns is a success, unless it returns a number."""
    assert (exit_code(lambda: None), exit_code(lambda: 1)) == (0, 1)


def test_error_message_has_all_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    """What, where, found, wanted and what to do, on stderr, without a traceback."""
    failing(errors.ConfigError("period is odd", where="a.toml", found="7", wanted="8", do="set every"))
    said = capsys.readouterr().err
    assert said == "edgeseq: period is odd\n  where:  a.toml\n  found:  7\n  wanted: 8\n  do:     set every\n"


def test_version_and_usage() -> None:
    """The version is printed; an unknown command or option is a usage error."""
    assert run("--version").stdout.strip() == f"edgeseq, version {__version__}"
    assert run("nonsense").returncode == 64
    assert run("run", "--nonsense").returncode == 64


def test_help_lists_all_commands_without_importing_them() -> None:
    """The list of commands is there on a machine where none of the heavy packages is."""
    heavy = "for n in ('numpy', 'tensorflow', 'paho', 'rich'): sys.modules[n] = None"
    shown = run("--help", prelude=heavy)
    assert shown.returncode == 0, shown.stderr
    assert all(f"  {name} " in shown.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in (*TRAINING, "demo")])
def test_command_has_help_with_training_blocked(name: str) -> None:
    """Every command of the device explains itself where no workstation package is installed."""
    blocked = "for n in ('tensorflow', 'polars', 'edgeseq_train', 'amqtt', 'keras'): sys.modules[n] = None"
    shown = run(name, "--help", prelude=blocked)
    assert shown.returncode == 0, shown.stderr
    assert "Usage:" in shown.stdout


def test_train_without_its_packages_says_what_to_install() -> None:
    """On a device `edgeseq train` is no traceback but advice, with exit code 78."""
    refused = run("train", "data.csv", prelude="sys.modules['edgeseq_train.cli'] = None")
    assert refused.returncode == 78, refused.stderr
    assert "pip install 'edgeseq[train]'" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("package", ["rich", "polars", "tensorflow", "ai_edge_litert", "ai_edge_quantizer"])
@pytest.mark.parametrize("is_late", [False, True], ids=["on import", "while running"])
def test_train_names_its_own_extra_whatever_is_missing(package: str, is_late: bool) -> None:
    """Several extras bring the same packages; who trains is told to install the extra train, whichever is missing."""
    parts = (
        "import click, types",
        f"def absent(): raise ModuleNotFoundError('No module named {package}', name='{package}')",
        "class Found(types.ModuleType):",
        f"    def __getattr__(self, _): return click.Command('train', callback=absent) if {is_late} else absent()",
        "sys.modules['edgeseq_train'] = types.ModuleType('edgeseq_train')",
        "sys.modules['edgeseq_train.cli'] = Found('edgeseq_train.cli')",
    )
    refused = run("train", prelude="\n".join(parts))
    assert refused.returncode == 78, refused.stderr
    assert "pip install 'edgeseq[train]'" in refused.stderr


WATCH_FOR_NUMPY = """
import os
class Watch:
    def find_spec(self, name, *_):
        if name == "numpy":
            print("threads", os.environ.get("OPENBLAS_NUM_THREADS"))
sys.meta_path.insert(0, Watch())
"""


@pytest.mark.parametrize(
    ("command", "before", "after"),
    [*((name, None, "1") for name in ENGINE), ("run", "3", "3"), ("doctor", None, "None")],
)
def test_engine_has_one_thread_of_blas(
    command: str, before: str | None, after: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The daemon and replay say so before NumPy is loaded, unless the user has; commands of a moment leave it."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if before is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", before)
    options = ["--input", "x"] if command == "replay" else []
    done = run(command, "--config", str(tmp_path / "none.toml"), *options, prelude=WATCH_FOR_NUMPY)
    assert done.stdout.splitlines()[:1] == [f"threads {after}"], done.stderr
