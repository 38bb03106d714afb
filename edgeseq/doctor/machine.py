"""The clock and the disk."""

from __future__ import annotations

import ctypes
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from edgeseq.config.resolve import Resolved
from edgeseq.core.instants import format_instant
from edgeseq.disk import Disk
from edgeseq.doctor.finding import Finding, fail, of_fault, ok, warn
from edgeseq.errors import ConfigError, StorageError
from edgeseq.store import check_folder

# --- the clock --------------------------------------------------------------------------------------------------

UNSYNCHRONISED = 5
"""TIME_ERROR of adjtimex(2)."""
_TIMEX_BYTES = 512
"""More than struct timex has on any Linux; zeros ask without changing anything."""


def check_clock(files: Iterable[Path]) -> Iterator[Finding]:
    """Ask the kernel whether the clock is kept by a time service, and files whether it lies in the past."""
    written_ns = [path.stat().st_mtime_ns for path in files if path.exists()]
    yield judge_clock(_kernel_clock(), time.time_ns(), max(written_ns, default=0))


def judge_clock(state: int | None, now_ns: int, newest_file_ns: int) -> Finding:
    """Judge a clock.

    Args:
        state: what adjtimex(2) returns, None where it could not be asked.
        now_ns: the clock.
        newest_file_ns: when the newest of our files was written.
    """
    wanted, do = "a clock set by NTP", "start systemd-timesyncd or chrony; without a network fit an RTC"
    if now_ns < newest_file_ns - 86_400 * 10**9:
        found = f"{format_instant(now_ns)} is older than a file written {format_instant(newest_file_ns)}"
        return fail("clock", found, wanted, do)
    if state is None:
        return warn("clock", "the kernel does not say whether it is synchronised", wanted, do)
    if state == UNSYNCHRONISED:
        risk = "readings with a time of their own may be refused as coming from the future"
        return warn("clock", f"not synchronised: {risk}", wanted, do)
    return ok("clock", "synchronised")


def _kernel_clock() -> int | None:
    try:
        state = int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
    except (OSError, AttributeError):
        return None
    return state if state >= 0 else None


# --- the disk ---------------------------------------------------------------------------------------------------

WRITES = 7
WRITE_BYTES = 4096
SLOW_WRITE_MS = 50.0
"""Every batch waits for one write; SD cards that hesitate longer make forecasts late."""

GENERATIONS_BYTES = 64 * 2**20
"""Two generations of a journal of 16 MB, one to be written over, and one set aside."""
STREAM_BYTES = 3 * 16 * 2**10
"""Three snapshots, one of them being written, of a stream with a long history."""

VOLATILE = frozenset({"tmpfs", "ramfs"})
REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs"})
LAYERED = frozenset({"overlay", "aufs"})


class Mount(msgspec.Struct, frozen=True):
    """What a folder lies on."""

    point: str
    kind: str
    source: str


def check_disk(resolved: Resolved) -> Iterator[Finding]:
    """Check that the state folder can be written, how fast, and what it lies on."""
    folder = resolved.state_dir
    try:
        check_folder(folder)
    except (ConfigError, StorageError) as fault:
        yield of_fault("state folder", fault)
        return
    yield ok("state folder", f"{folder} can be written")
    place = next(path for path in (folder, *folder.parents) if path.exists())
    is_durable = resolved.config.journal.durability != "none"
    yield judge_mount(_mount(place), is_durable=is_durable)
    space = os.statvfs(place)
    yield judge_space(space.f_bavail * space.f_frsize, resolved.options.max_streams)
    try:
        yield judge_writes(_time_writes(place), resolved.config.mqtt.inflight)
    except OSError as fault:
        wanted, do = "a disk that takes fdatasync", "free space or mend the disk; readings cannot be kept"
        yield fail("writing", f"{place}: {fault.strerror}", wanted, do)


def judge_mount(mount: Mount | None, *, is_durable: bool) -> Finding:
    """Judge a file system by its kind and device."""
    wanted, do = "a file system on a disk of this machine", "set [node] state_dir to a folder on one"
    if mount is None:
        return warn("file system", "its kind cannot be seen", wanted, "mount /proc")
    found = f"{mount.kind} on {mount.source}"
    if mount.kind in VOLATILE:
        judge = fail if is_durable else warn
        return judge("file system", f"{found} is memory: the state ends with the machine", wanted, do)
    if mount.kind in LAYERED:
        return warn(
            "file system", f"{found}: in a container the state ends with it", wanted, f"{do}, or a volume"
        )
    if mount.kind in REMOTE:
        return warn("file system", f"{found}: each batch waits for a network", wanted, do)
    if re.match(r"/dev/mmcblk\d", mount.source):
        care = 'a longer-lived card, or less writing: sensors that send less, [journal] durability = "none"'
        return warn("file system", f"{found}: an SD card or eMMC, which writing wears out", "an SSD", care)
    return ok("file system", found)


def judge_space(free_bytes: int, max_streams: int) -> Finding:
    """Judge the free space against what snapshots and journals of so many streams may take."""
    wanted_bytes = GENERATIONS_BYTES + STREAM_BYTES * max_streams
    found, wanted = f"{free_bytes // 2**20:,} MB", f"{wanted_bytes // 2**20:,} MB for {max_streams:,} streams"
    if free_bytes >= wanted_bytes:
        return ok("free space", found)
    judge = fail if free_bytes < GENERATIONS_BYTES else warn
    return judge("free space", found, wanted, "free some, or lower [node] max_streams")


def judge_writes(durations_ms: list[float], inflight: int) -> Finding:
    """Judge how long writes took to be on the medium; the broker sends no more than `inflight` messages meanwhile."""
    usual_ms, worst_ms = statistics.median(durations_ms), max(durations_ms)
    most = f"{1e3 * inflight / max(usual_ms, 1e-3):,.0f}"
    found = f"{usual_ms:.1f} ms for a write to be on the disk, at worst {worst_ms:.1f} ms"
    if usual_ms <= SLOW_WRITE_MS:
        return ok("writing", found)
    bound = f"{found}: at most {most} readings a second"
    do = "use a faster disk or card; raise [mqtt] inflight and the broker's max_inflight_messages"
    return warn("writing", bound, f"{SLOW_WRITE_MS:.0f} ms", do)


def _time_writes(folder: Path) -> list[float]:
    """Write and sync as the journal does, in a file that is gone afterwards → ms."""
    disk, durations_ms = Disk(), []
    with tempfile.TemporaryFile(dir=folder) as file:
        for number in range(WRITES):
            start_s = time.perf_counter()
            disk.write(file.fileno(), bytes(WRITE_BYTES), number * WRITE_BYTES)
            disk.sync(file.fileno())
            durations_ms.append(1e3 * (time.perf_counter() - start_s))
    disk.sync_folder(folder)
    return durations_ms


def _mount(path: Path) -> Mount | None:
    try:
        table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return mount_of(path.resolve(), table)


def mount_of(path: Path, table: str) -> Mount | None:
    r"""Find what a path lies on in a table of mounts (/proc/self/mountinfo, proc(5)); of equal points the last.

    >>> mount_of(Path("/var/lib"), "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 0:4 / /var rw - tmpfs none rw")
    Mount(point='/var', kind='tmpfs', source='none')
    """
    found: Mount | None = None
    for line in table.splitlines():
        place, _, device = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), place.split()[4])
        is_nearer = found is None or len(point) >= len(found.point)
        if is_nearer and path.is_relative_to(point):
            kind, source = device.split()[:2]
            found = Mount(point, kind, source)
    return found
