"""Debian trees of other architectures, whose programs the kernel hands to qemu-user: real ARM binaries, slowly.

They are unpacked, not booted: what is tried there is what the package's files compute. Needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build/arm"
SITE = "/usr/lib/edgeseq/lib/python3.11/site-packages"
"""Where the package keeps its modules."""
TFLITE, TESTING, SOURCES = "/opt/tflite", "/opt/testing", "/opt/edgeseq"
"""In the tree: the other runtime's environment, pytest and what it needs, and the tests."""
JOB = "/opt/job"

MACHINES = {"arm64": "aarch64", "armhf": "armv7l"}
BASE = ("python3.11", "libsqlite3-0", "libstdc++6", "coreutils", "dash", "libc-bin")
PACKAGES = {"arm64": BASE, "armhf": (*BASE, "python3-numpy", "python3-cffi-backend", "python3.11-dev", "gcc")}
"""What a tree holds. For armhf numpy, cffi and msgspec have no wheels: Debian has two, msgspec is compiled."""
ENTER = (
    'for n in proc sys dev; do mkdir -p "$0/$n"; mount --rbind "/$n" "$0/$n"; done; '
    'mount --bind "$0/opt/cpuinfo" "$0/proc/cpuinfo"; exec chroot "$0" "$@"'
)
"""In mounts of its own, which end with it."""
CORES = os.cpu_count() or 1
CPU = {
    "arm64": "Features\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\nCPU architecture: 8\n",
    "armhf": "Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm crc32\n"
    "CPU implementer\t: 0x41\nCPU architecture: 7\n",
}
"""What /proc/cpuinfo tells on a Raspberry Pi 4. The runtimes choose their kernels by it, and die of the host's."""
EMULATED = {"arm64": {"QEMU_CPU": "cortex-a72"}, "armhf": {}}
"""A Raspberry Pi 4's, too. On a CPU with the dot product (cortex-a76, a Raspberry Pi 5's) tflite-runtime 2.14 dies of
`dynamic`; whether it does on a real one, not emulated, is not known. The daemon tries a bundle in a child first.
"""
TEST_TOOLS = (
    "hypothesis",
    "iniconfig",
    "packaging",
    "pluggy",
    "pygments",
    "pytest",
    "pytest-timeout",
    "sortedcontainers",
)


class Tree:
    """One unpacked tree."""

    def __init__(self, architecture: str) -> None:
        self.architecture = architecture
        self.root = BUILD / architecture
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)
        archive = make_archive(architecture)
        subprocess.run(
            ["tar", "--extract", "--file", str(archive), "--directory", str(self.root)], check=True
        )
        told = [
            f"processor\t: {core}\n{CPU[architecture]}CPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n"
            for core in range(CORES)
        ]
        self.inside("/opt").mkdir(exist_ok=True)
        self.inside("/opt/cpuinfo").write_text("\n".join(told), encoding="utf-8")

    def run(self, *command: str, path: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program in it; `path` is where Python looks for modules first."""
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/",
            "LC_ALL": "C.UTF-8",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": path,
            **EMULATED[self.architecture],
            **variables,
        }
        inside = ["/usr/bin/env", "--chdir", SOURCES if self.has(SOURCES) else "/"]
        entering = ["unshare", "--mount", "sh", "-c", ENTER, str(self.root), *inside]
        return subprocess.run(
            [*entering, *command], check=False, capture_output=True, text=True, env=environment
        )

    def python(self, *arguments: str, path: str, **variables: str) -> str:
        """Run Python in it, which must succeed → what it printed."""
        done = self.run("/usr/bin/python3.11", *arguments, path=path, **variables)
        assert done.returncode == 0, f"{arguments}: {done.stdout[-6000:]}{done.stderr[-6000:]}"
        return done.stdout

    def has(self, path: str) -> bool:
        """Tell whether it holds a path."""
        return self.inside(path).exists()

    def inside(self, path: str) -> Path:
        """Give a path of it as the host names it."""
        return self.root / path.lstrip("/")

    def unpack(self, package: Path) -> None:
        """Put a Debian package's files into it."""
        subprocess.run(["dpkg-deb", "--extract", str(package), str(self.root)], check=True)

    def put(self, source: Path, target: str) -> None:
        """Copy a folder into it, caches left out."""
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(source, self.inside(target), ignore=ignored, dirs_exist_ok=True)

    def install(self, target: str, *wanted: str, hashes: bool = True) -> None:
        """Fill a folder of it from wheels of its architecture; nothing of them is run."""
        machine = MACHINES[self.architecture]
        tags = [f"manylinux_2_{minor}_{machine}" for minor in range(36, 16, -1)]
        tags += [f"manylinux2014_{machine}", f"linux_{machine}"]
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-compile",
        ]
        pip += ["--upgrade", "--target", str(self.inside(target)), "--only-binary", ":all:", "--no-deps"]
        pip += ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "abi3"]
        pip += ["--abi", "none", *(word for tag in tags for word in ("--platform", tag))]
        subprocess.run([*pip, *(["--require-hashes"] if hashes else []), *wanted], check=True)


def make_archive(architecture: str) -> Path:
    """Make a tree as an archive, unless it is there → its path."""
    archive = BUILD / f"{architecture}.tar"
    if archive.exists():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    _register()
    unfinished = archive.with_suffix(".unfinished.tar")
    # Extracted, not installed: a quarter of a minute instead of minutes of emulated maintainer scripts.
    command = ["mmdebstrap", "--quiet", "--variant=extract", f"--architectures={architecture}"]
    included = ",".join(PACKAGES[architecture])
    subprocess.run([*command, f"--include={included}", "bookworm", str(unfinished), _source()], check=True)
    return unfinished.rename(archive)


def _source() -> str:
    """Name the archive that this machine's own packages come from; security updates matter nothing in a test's tree."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    told = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout
    address = next(line for line in told.splitlines() if "security" not in line)
    return f"deb {address} bookworm main"


def _register() -> None:
    """Let the kernel hand foreign programs to qemu-user, where nothing has done so since the machine started."""
    binfmt = Path("/proc/sys/fs/binfmt_misc")
    if not (binfmt / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(binfmt)], check=True)
    if not (binfmt / "qemu-aarch64").exists():
        subprocess.run(["update-binfmts", "--import"], check=False)
        subprocess.run(["update-binfmts", "--enable"], check=False)


def locked(names: tuple[str, ...], folder: Path) -> Path:
    """Write the part of the other runtime's lock file that pins these packages → its path."""
    blocks: dict[str, list[str]] = {}
    block: list[str] = []
    for line in (ROOT / "requirements/tflite.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#")):
            block = blocks.setdefault(line.partition("==")[0], [])
        block.append(line)
    path = folder / "tools.txt"
    path.write_text("\n".join(line for name in names for line in blocks[name]) + "\n", encoding="utf-8")
    return path


def package(architecture: str) -> Path:
    """Give the package of an architecture that `make test-arm` has built."""
    found = sorted((BUILD / "deb").glob(f"edgeseq_*_{architecture}.deb"))
    assert found, "there is no package: do make test-arm"
    return found[-1]


def own_wheel() -> Path:
    """Give the wheel that the package was built from."""
    return next((BUILD / "deb/wheel").glob("*.whl"))
