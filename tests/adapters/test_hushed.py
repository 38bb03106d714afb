"""What native libraries write to stderr: noise is held back, all else arrives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeseq.adapters.interpreter.hushed import hushed

LINES = b"noise 1\nfault\nnoise 2\n"


def _is_noise(line: str) -> bool:
    return line.startswith("noise")


def test_only_noise_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    """Lines that are no noise arrive after the call, and what is written later arrives at once."""
    with hushed(_is_noise):
        os.write(2, LINES)
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "fault\n"
    os.write(2, b"noise 4\n")
    assert capfd.readouterr().err == "noise 4\n"


@hushed(_is_noise)
def _fail() -> None:
    os.write(2, LINES)
    raise ValueError("told")


def test_everything_arrives_when_the_call_fails(capfd: pytest.CaptureFixture[str]) -> None:
    """A call that raises has its whole text written on: it may say why."""
    with pytest.raises(ValueError, match="told"):
        _fail()
    assert capfd.readouterr().err == LINES.decode()


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_descriptors_are_given_back() -> None:
    """Hushing leaves as many descriptors open as before."""
    before = _open_descriptors()
    for _ in range(3):
        with hushed(_is_noise):
            os.write(2, b"noise\n")
    assert _open_descriptors() == before


def test_closed_stderr_is_no_fault() -> None:
    """A process without stderr does its work all the same."""
    code = (
        "import os; os.close(2)\n"
        "from edgeseq.adapters.interpreter.hushed import hushed\n"
        "with hushed(lambda line: True): print('done')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "done\n"


def test_first_interpreter_of_a_process_is_silent() -> None:
    """Looking for the runtimes that work here writes nothing to stderr."""
    code = "from edgeseq.adapters.interpreter import available_runtimes; print(*available_runtimes())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "numpy" in done.stdout
    assert "XNNPACK" not in done.stderr
