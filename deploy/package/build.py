"""Build the Debian package: build/deb/edgeseq_VERSION_ARCHITECTURE.deb, the same bytes each time.

The package is a Python environment of its own in /usr/lib/edgeseq, filled from wheels that requirements/edge.txt names
by hash (for another architecture, too: nothing of it is run), with compiled modules, the unit, a configuration,
man pages, completion and a bill of materials. All times in it are that of the last commit.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

from click.shell_completion import BashComplete, FishComplete, ZshComplete

from edgeseq.cli import edgeseq

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).resolve().parent / "debian"
HOME = "usr/lib/edgeseq"
SITE = f"{HOME}/lib/python3.11/site-packages"

PLATFORMS = {"amd64": "x86_64", "arm64": "aarch64"}
"""Debian's name of an architecture → the wheels'."""
GLIBC = range(36, 16, -1)
"""Minor versions of the C library that Debian 12 (2.36) can run wheels of."""

PLACES = {"/opt/edgeseq": f"/{HOME}", "/usr/bin/python3 ": "/usr/bin/python3.11 "}
"""Paths of the unit, and what they are where the package installs; python3 alone need not be there."""

COMPLETIONS = {
    BashComplete: "usr/share/bash-completion/completions/edgeseq",
    ZshComplete: "usr/share/zsh/vendor-completions/_edgeseq",
    FishComplete: "usr/share/fish/vendor_completions.d/edgeseq.fish",
}


def main() -> None:
    """Build the package of one architecture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", choices=sorted(PLATFORMS), default="amd64")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "deb")
    parser.add_argument(
        "--compression", choices=("xz", "none"), default="xz", help="none: for tests, in a minute less"
    )
    chosen = parser.parse_args()
    print(build(chosen.architecture, chosen.output, chosen.compression))


def build(architecture: str, output: Path, compression: str) -> Path:
    """Stage all files and pack them → the package's path."""
    version = importlib.metadata.version("edgeseq")
    stage = output / "stage" / architecture
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    os.environ["SOURCE_DATE_EPOCH"] = str(commit_time_s())
    install(stage, architecture, wheel(output / "wheel"))
    compile_modules(stage)
    system_files(stage)
    documents(stage)
    control(stage, architecture, version)
    settle(stage)
    package = output / f"edgeseq_{version}_{architecture}.deb"
    # Several threads would cut the archive by their number.
    packing = ("--root-owner-group", f"-Z{compression}", "--threads-max=1")
    run("dpkg-deb", *packing, "--build", str(stage), str(package))
    return package


def run(*command: str, **environment: str) -> str:
    """Run a program, and give what it prints."""
    env = {**os.environ, **environment}
    return subprocess.run(command, check=True, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True).stdout


def commit_time_s() -> int:
    """Give the time of the last commit; of an unpacked source archive, that of its project file."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return int(os.environ["SOURCE_DATE_EPOCH"])
    if (ROOT / ".git").exists():
        return int(run("git", "log", "-1", "--format=%ct"))
    return int((ROOT / "pyproject.toml").stat().st_mtime)


def wheel(folder: Path) -> Path:
    """Build edgeseq's own wheel."""
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder))
    return next(folder.glob("*.whl"))


def install(stage: Path, architecture: str, own: Path) -> None:
    """Fill the private environment: hashes checked, wheels only, nothing of it run."""
    machine = PLATFORMS[architecture]
    tags = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC]
    tags += [f"manylinux2014_{machine}", f"linux_{machine}"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    pip += ["--target", str(stage / SITE), "--only-binary", ":all:", "--no-deps", "--python-version", "3.11"]
    pip += ["--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none"]
    pip += [word for tag in tags for word in ("--platform", tag)]
    run(*pip, "--require-hashes", "--requirement", "requirements/edge.txt")
    # By name: of a file pip would record where it lay.
    run(*pip, "edgeseq", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(own.parent))
    shutil.rmtree(stage / SITE / "bin", ignore_errors=True)
    programs = stage / HOME / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to("/usr/bin/python3.11")
    write(programs / "edgeseq", ENTRY, 0o755)
    write(
        stage / HOME / "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n"
    )
    (stage / "usr/bin").mkdir()
    (stage / "usr/bin/edgeseq").symlink_to("../lib/edgeseq/bin/edgeseq")


ENTRY = f"""#!/{HOME}/bin/python3
import sys

from edgeseq.cli import main

sys.exit(main())
"""


def compile_modules(stage: Path) -> None:
    """Compile all modules: the service cannot write, and would compile them anew at each start."""
    run(
        sys.executable, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash",
        "-s", str(stage), "-p", "/", str(stage / SITE), PYTHONHASHSEED="0",
    )  # fmt: skip


def system_files(stage: Path) -> None:
    """Put the unit, what makes its group, the configuration and completions where they belong."""
    unit = (ROOT / "systemd/edgeseq.service").read_text(encoding="utf-8")
    units = stage / "usr/lib/systemd/system"
    for there, here in PLACES.items():
        unit = unit.replace(there, here)
    write(units / "edgeseq.service", unit)
    write(units / "edgeseq.service.d/10-package.conf", (SOURCES / "service.conf").read_text(encoding="utf-8"))
    write(stage / "usr/lib/sysusers.d/edgeseq.conf", (SOURCES / "sysusers.conf").read_text(encoding="utf-8"))
    write(stage / "etc/edgeseq/edgeseq.toml", (SOURCES / "edgeseq.toml").read_text(encoding="utf-8"))
    (stage / "etc/edgeseq/trusted_keys").mkdir()
    for completion, place in COMPLETIONS.items():
        write(stage / place, completion(edgeseq, {}, "edgeseq", "_EDGESEQ_COMPLETE").source())


def documents(stage: Path) -> None:
    """Write man pages, change log, licences, the broker's configuration and the bill of materials."""
    papers = stage / "usr/share/doc/edgeseq"
    write(papers / "copyright", (SOURCES / "copyright").read_text(encoding="utf-8"))
    compressed(papers / "changelog.gz", (ROOT / "CHANGELOG.md").read_bytes())
    write(papers / "examples/mosquitto.conf", (ROOT / "deploy/mosquitto.conf").read_text(encoding="utf-8"))
    write(papers / "sbom.cdx.json", run(sys.executable, str(SOURCES.parent / "materials.py")))
    pages = stage / "man"
    run(sys.executable, str(SOURCES.parent / "man.py"), str(pages))
    for page in sorted(pages.iterdir()):
        compressed(stage / f"usr/share/man/man1/{page.name}.gz", page.read_bytes())
    shutil.rmtree(pages)


def control(stage: Path, architecture: str, version: str) -> None:
    """Write what dpkg reads."""
    size_kb = sum(file.stat().st_size for file in files_of(stage)) // 1024
    values = {"VERSION": version, "ARCHITECTURE": architecture, "SIZE_KB": str(size_kb)}
    text = (SOURCES / "control").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    sums = [f"{hashlib.md5(f.read_bytes()).hexdigest()}  {f.relative_to(stage)}" for f in files_of(stage)]  # noqa: S324 - dpkg's format
    folder = stage / "DEBIAN"
    write(folder / "control", text)
    write(folder / "md5sums", "\n".join(sums) + "\n")
    write(folder / "conffiles", (SOURCES / "conffiles").read_text(encoding="utf-8"))
    for script in ("postinst", "prerm", "postrm"):
        write(folder / script, (SOURCES / script).read_text(encoding="utf-8"), 0o755)


def files_of(stage: Path) -> list[Path]:
    """List the files, links left out, in one order everywhere."""
    return sorted(path for path in stage.rglob("*") if path.is_file() and not path.is_symlink())


def settle(stage: Path) -> None:
    """Give everything one time and plain modes, whatever machine built it."""
    epoch_s = int(os.environ["SOURCE_DATE_EPOCH"])
    for path in [*stage.rglob("*"), stage]:
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
        os.utime(path, (epoch_s, epoch_s), follow_symlinks=False)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def compressed(path: Path, content: bytes) -> None:
    """Write a file as policy wants documents: gzip, without time or name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0))


if __name__ == "__main__":
    main()
