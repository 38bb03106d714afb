"""What the modules of the device must not need or touch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = sorted((ROOT / "edgeseq" / "core").rglob("*.py"))

NOT_ON_EVERY_DEVICE = (
    *("tensorflow", "keras", "ai_edge_quantizer", "polars", "edgeseq_train"),  # the workstation
    *("amqtt", "rich"),  # the demo
    *("hypothesis", "jsonschema", "pytest"),  # the tests
    *("google", "google.protobuf"),  # the extra of Sparkplug
    *("ai_edge_litert", "tflite_runtime"),  # one of them is there, or none: found out by trying
)
IMPORT_ALL_BLOCKED = """
import importlib, pkgutil, sys
for name in {blocked!r}:
    sys.modules[name] = None  # importing it raises ImportError
import edgeseq
# Generated bindings (_pb2) are imported only where a configuration asks for them.
names = [m.name for m in pkgutil.walk_packages(edgeseq.__path__, "edgeseq.")]
names = [name for name in names if name != "edgeseq.__main__" and not name.endswith("_pb2")]
for name in names:
    importlib.import_module(name)
print(*names, sep="\\n")
"""

IMPURE_ATTRIBUTES = {
    ("np", "random"): "random numbers",
    ("numpy", "random"): "random numbers",
    ("np", "load"): "files",
    ("np", "save"): "files",
    ("np", "savez"): "files",
    ("np", "fromfile"): "files",
    ("np", "memmap"): "files",
    ("datetime", "now"): "the clock",
    ("datetime", "today"): "the clock",
    ("datetime", "utcnow"): "the clock",
    ("date", "today"): "the clock",
}
IMPURE_CALLS = {"open": "files", "print": "the terminal", "input": "the terminal"}


def test_edge_modules_import_with_extras_blocked() -> None:
    """Every module of edgeseq imports with TensorFlow and all else that a device may lack made unimportable."""
    code = IMPORT_ALL_BLOCKED.format(blocked=NOT_ON_EVERY_DEVICE)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stderr
    assert {"edgeseq.core.types", "edgeseq.bundle"} <= set(run.stdout.split())


def test_core_has_modules_to_look_at() -> None:
    """The test below looks at real files."""
    assert ROOT / "edgeseq" / "core" / "types" / "events.py" in CORE


@pytest.mark.parametrize("path", CORE, ids=lambda p: p.name)
def test_core_module_touches_nothing_outside(path: Path) -> None:
    """A module of the core uses no clock, random number, file or terminal that an import contract cannot see."""
    assert impurities(path.read_text(encoding="utf-8")) == []


def test_impurities_of_impure_code_are_found() -> None:
    """The search of the test above finds each kind of impurity."""
    code = "import numpy as np\nx = np.random.default_rng()\ny = open('f')\nz = datetime.now()\n"
    assert impurities(code) == ["line 2: random numbers", "line 3: files", "line 4: the clock"]


def impurities(code: str) -> list[str]:
    """List what Python code uses from outside, by line."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            what = IMPURE_ATTRIBUTES.get((node.value.id, node.attr))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            what = IMPURE_CALLS.get(node.func.id)
        else:
            continue
        if what:
            found.append((node.lineno, what))
    return [f"line {line}: {what}" for line, what in sorted(found)]
