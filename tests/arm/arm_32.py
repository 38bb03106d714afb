"""One replay on real armhf binaries, with tflite-runtime and Debian's numpy, as deploy/INSTALL.md tells people."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.arm.arm_64 import EXACT, bit_equal
from tests.arm.compare import RELATIVE, replays, rolled, share
from tests.arm.conftest import lay_out
from tests.arm.trees import BUILD, JOB, ROOT, TFLITE, Tree, locked, own_wheel

WHEELS = ("apscheduler", "click", "cryptography", "paho-mqtt", "structlog", "tflite-runtime", "tzlocal")
LIBRARY = "/usr/lib/arm-linux-gnueabihf"
COMPILE = ("gcc", "-O2", "-shared", "-fPIC", "-I/usr/include/python3.11")


@pytest.fixture(scope="session")
def armhf(tmp_path_factory: pytest.TempPathFactory, job: Path) -> Tree:
    """Fill a tree for armhf: numpy and cffi are Debian's, msgspec is compiled there, the rest are wheels."""
    tree, scratch = Tree("armhf"), tmp_path_factory.mktemp("armhf")
    tree.install(TFLITE, "--requirement", str(locked(WHEELS, scratch)))
    tree.install(TFLITE, str(own_wheel()), hashes=False)
    _compile_msgspec(tree, scratch)
    lay_out(tree, job)
    return tree


def _compile_msgspec(tree: Tree, scratch: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += [
        "--no-binary",
        "msgspec",
        "--require-hashes",
        "--requirement",
        str(locked(("msgspec",), scratch)),
    ]
    subprocess.run([*command, "--dest", str(scratch)], check=True)
    archive = next(scratch.glob("msgspec-*.tar.gz"))
    subprocess.run(["tar", "--extract", "--file", str(archive), "--directory", str(scratch)], check=True)
    source = next(scratch.glob("msgspec-*/src/msgspec"))
    tree.put(source, f"{TFLITE}/msgspec")
    kept = BUILD / f"{archive.name.removesuffix('.tar.gz')}-armhf.so"
    module = tree.inside(f"{TFLITE}/msgspec/_core.cpython-311-arm-linux-gnueabihf.so")
    if not kept.exists():
        made = tree.run(*COMPILE, f"{TFLITE}/msgspec/_core.c", "-o", "/tmp/_core.so")
        assert made.returncode == 0, made.stderr[-3000:]
        kept.write_bytes(tree.inside("/tmp/_core.so").read_bytes())
    module.write_bytes(kept.read_bytes())


@pytest.mark.timeout(2400)
def test_replay_and_roll_out_are_those_of_amd64(armhf: Tree, amd64: dict[str, Path]) -> None:
    """The same messages, quantiles within 1e-5 of the stream's scale, and the integer cell to the last bit."""
    assert armhf.run("uname", "-m").stdout.strip() == "armv7l"
    armhf.python(
        "-m", "tests.arm.roll", JOB, "tflite", f"{JOB}/tflite", path=TFLITE,
        LD_LIBRARY_PATH=f"{LIBRARY}/blas:{LIBRARY}/lapack",
    )  # fmt: skip
    found, wanted = rolled(armhf.inside(f"{JOB}/tflite")), rolled(amd64["tflite"])
    scale = np.std(np.load(ROOT / "build/arm/job/x.npy"), axis=0)
    apart = {
        name: share(found[name], wanted[name], scale) for name in found if not name.startswith("int16x8")
    }
    replayed = replays(armhf.inside(f"{JOB}/tflite"), amd64["tflite"])
    print("armhf", {name: f"{value:.1e}" for name, value in apart.items()}, replayed)
    assert max(apart[name] for name in EXACT) <= RELATIVE
    bit_equal(armhf.inside(f"{JOB}/tflite"), amd64["tflite"], amd64)
    assert "model" in replayed.sources
    assert replayed.worst <= RELATIVE
