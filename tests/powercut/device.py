"""A whole device in QEMU, emulated so that any machine can run it: Debian's kernel, systemd, ext4, the package.

What a cut (kill -9 of QEMU) loses is what the guest had not handed to its disk: its page cache and what ext4 had not
yet committed. The disk is a raw file opened with cache=none: a write that the guest was told of is in the file, a flush
is fdatasync. It keeps no writes back that were reported done; of disks that do and lie, see `make chaos`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.systemd import machine

PACKAGES = (*machine.PACKAGES, "udev", "linux-image-cloud-amd64", "initramfs-tools")
IMAGE_BYTES = 2 * 2**30
HOST = "10.0.2.2"
"""The host as QEMU's own network shows it to the guest."""
NETWORK = """[Match]
Name=en*
[Network]
Address=10.0.2.15/24
Gateway=10.0.2.2
"""
DROP_IN = f"[Service]\nIPAddressAllow={HOST}\n"


def make_tree(archive: Path) -> Path:
    """Make the tree as an archive, unless it is there → its path."""
    if archive.exists():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    unfinished = archive.with_suffix(".unfinished.tar")
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    subprocess.run([*command, "bookworm", str(unfinished)], check=True)
    return unfinished.rename(archive)


class Device:
    """One device: a disk, a kernel, and power."""

    def __init__(self, folder: Path, archive: Path, package: Path, configuration: str) -> None:
        self.folder = folder
        self.disk = folder / "disk.img"
        self._qemu: subprocess.Popen[bytes] | None = None
        shutil.rmtree(folder, ignore_errors=True)
        root = folder / "root"
        root.mkdir(parents=True)
        subprocess.run(["tar", "--extract", "--file", str(archive), "--directory", str(root)], check=True)
        _install(root, package, configuration)
        for name, target in (("vmlinuz", "kernel"), ("initrd.img", "initrd")):
            shutil.copy(
                (root / name).resolve() if (root / name).is_file() else _booted(root, name), folder / target
            )
        with self.disk.open("wb") as disk:
            disk.truncate(IMAGE_BYTES)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root), str(self.disk)], check=True)
        shutil.rmtree(root)

    def power_on(self, *arguments: str) -> None:
        """Start it; `arguments` go to its kernel."""
        kernel = [
            "root=/dev/vda",
            "rw",
            "console=ttyS0",
            "quiet",
            "systemd.mask=serial-getty@ttyS0.service",
            *arguments,
        ]
        command = [
            "qemu-system-x86_64",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "768",
        ]
        command += ["-kernel", str(self.folder / "kernel"), "-initrd", str(self.folder / "initrd")]
        command += ["-append", " ".join(kernel), "-no-reboot", "-display", "none", "-monitor", "none"]
        command += [
            "-drive",
            f"file={self.disk},format=raw,if=virtio,cache=none",
            "-nic",
            "user,model=virtio-net-pci",
        ]
        command += ["-serial", f"file:{self.folder / 'console'}"]
        self._qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def cut(self) -> None:
        """Take its power away."""
        assert self._qemu is not None
        assert self._qemu.poll() is None, f"it had gone before the cut: {self.console()}"
        self._qemu.kill()
        self._qemu.wait()

    def wait_until_off(self, patience_s: float) -> None:
        """Wait until it has powered itself off."""
        assert self._qemu is not None
        assert self._qemu.wait(patience_s) == 0, self.console()

    def close(self) -> None:
        """Take its power away, if it is on."""
        if self._qemu is not None and self._qemu.poll() is None:
            self._qemu.kill()
            self._qemu.wait()

    def console(self) -> str:
        """Give the end of what it wrote to its console."""
        path = self.folder / "console"
        return path.read_text(encoding="utf-8", errors="replace")[-3000:] if path.exists() else ""

    @contextmanager
    def opened(self, *, is_copy: bool) -> Iterator[Path]:
        """Look into its disk, as its next start will find it; into a copy, so that this start is its own."""
        image = self.folder / "copy.img" if is_copy else self.disk
        if is_copy:
            subprocess.run(
                ["cp", "--sparse=always", "--reflink=auto", str(self.disk), str(image)], check=True
            )
        point = self.folder / "mounted"
        point.mkdir(exist_ok=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=True)
        try:
            yield point
        finally:
            subprocess.run(["umount", str(point)], check=True)


def _booted(root: Path, name: str) -> Path:
    """Find the kernel or its first file system where no link at the root leads to it."""
    return next((root / "boot").glob(f"{name}-*"))


def _install(root: Path, package: Path, configuration: str) -> None:
    shutil.copy(package, root / "edgeseq.deb")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["chroot", str(root), "dpkg", "--install", "/edgeseq.deb"], check=True, env=environment,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    (root / "edgeseq.deb").unlink()
    files = {
        "etc/edgeseq/edgeseq.toml": configuration,
        "etc/hostname": "cellar\n",
        "etc/hosts": "127.0.0.1 localhost\n",
        "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
        "etc/systemd/network/10-host.network": NETWORK,
        "etc/systemd/system/edgeseq.service.d/host.conf": DROP_IN,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    for unit in ("systemd-networkd.service", "edgeseq.service"):
        wanted = root / "etc/systemd/system/multi-user.target.wants" / unit
        wanted.parent.mkdir(parents=True, exist_ok=True)
        if not wanted.is_symlink():
            wanted.symlink_to(f"/usr/lib/systemd/system/{unit}")
    for unit in ("mosquitto.service", "apt-daily.timer", "apt-daily-upgrade.timer"):
        subprocess.run(["systemctl", f"--root={root}", "mask", "--quiet", unit], check=True)
