"""Each line of the unit's sandbox bites: alone in a unit of root's it refuses what is allowed without it.

And what each line refuses, the whole unit refuses, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.systemd.machine import Machine

UNIT = Path(__file__).parents[2] / "systemd/edgeseq.service"
PYTHON = "/usr/lib/edgeseq/bin/python3"
REFUSED = 42
"""Exit status of a probe that was refused, or does not see what it looked for."""

PREAMBLE = f"""
import ctypes, mmap, os, resource, socket, stat, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def need(true):
    if not true: sys.exit({REFUSED})
def call(result):
    if result < 0: raise OSError(ctypes.get_errno(), "refused")
def status(key):
    return next(line.split()[1] for line in open("/proc/self/status") if line.startswith(key))
try:
    exec(sys.argv[1])
except OSError as fault:
    print(fault)
    sys.exit({REFUSED})
"""


class Probe(NamedTuple):
    """What is tried; it raises OSError or calls need(False) where it is refused."""

    lines: str
    """The unit's lines that must refuse it."""
    code: str
    base: str = ""
    """What a unit of root's needs for the probe to mean something."""


PROBES = {
    "ProtectSystem": Probe("ProtectSystem=strict", "open('/usr/probe', 'w')"),
    "ProtectHome": Probe("ProtectHome=yes", "need(os.listdir(os.path.expanduser('~')))"),
    "PrivateTmp": Probe("PrivateTmp=yes", "need(os.path.exists('/tmp/marker'))"),
    "PrivateDevices": Probe(
        "PrivateDevices=yes",
        "os.mknod('/var/probe-null', stat.S_IFCHR | 0o600, os.makedev(1, 3)); os.unlink('/var/probe-null')",
    ),
    "PrivateIPC": Probe(
        "PrivateIPC=yes", "need(os.readlink('/proc/self/ns/ipc') == open('/etc/probe-ipc').read())"
    ),
    "PrivateMounts": Probe(
        "PrivateMounts=yes", "need(os.readlink('/proc/self/ns/mnt') == open('/etc/probe-mnt').read())"
    ),
    "PrivateUsers": Probe(
        "PrivateUsers=yes", "need(os.readlink('/proc/self/ns/user') == open('/etc/probe-user').read())"
    ),
    "ProtectProc": Probe("ProtectProc=invisible", "need(os.path.exists('/proc/1'))", base="User=nobody"),
    "ProtectClock": Probe("ProtectClock=yes", "call(libc.adjtimex(ctypes.create_string_buffer(512)))"),
    "ProtectControlGroups": Probe(
        "ProtectControlGroups=yes", "os.mkdir('/sys/fs/cgroup/probe'); os.rmdir('/sys/fs/cgroup/probe')"
    ),
    "ProtectHostname": Probe("ProtectHostname=yes", "socket.sethostname('cellar')"),
    "ProtectKernelLogs": Probe("ProtectKernelLogs=yes", "call(libc.klogctl(10, None, 0))"),
    "ProtectKernelModules": Probe(
        "ProtectKernelModules=yes", "need(os.path.exists('/usr/lib/modules/marker'))"
    ),
    "CapabilityBoundingSet": Probe(
        "CapabilityBoundingSet=", "open('/var/probe', 'w'); os.chown('/var/probe', 1, 1)"
    ),
    "NoNewPrivileges": Probe("NoNewPrivileges=yes", "need(status('NoNewPrivs') == '0')"),
    "LockPersonality": Probe("LockPersonality=yes", "call(libc.personality(0x0008))"),
    "MemoryDenyWriteExecute": Probe(
        "MemoryDenyWriteExecute=yes",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
    ),
    "RestrictNamespaces": Probe("RestrictNamespaces=yes", "call(libc.unshare(0x08000000))"),
    "RestrictRealtime": Probe(
        "RestrictRealtime=yes", "os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"
    ),
    "RestrictSUIDSGID": Probe(
        "RestrictSUIDSGID=yes", "open('/var/probe', 'w'); os.chmod('/var/probe', 0o4755)"
    ),
    "SystemCallFilter": Probe(
        "SystemCallFilter=@system-service\nSystemCallFilter=~@privileged @resources\nSystemCallErrorNumber=EPERM",
        "os.nice(1)",
    ),
    "NoExecPaths": Probe(
        "NoExecPaths=/\nExecPaths=/usr/lib/edgeseq /usr/bin/python3.11 /usr/bin/kill /usr/lib",
        "subprocess.run(['/usr/bin/id'], check=True)",
    ),
    "RestrictAddressFamilies": Probe(
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    ),
    "LimitCORE": Probe("LimitCORE=0", "need(resource.getrlimit(resource.RLIMIT_CORE)[1] != 0)"),
    "UMask": Probe(
        "UMask=0077",
        "f = '/var/tmp/probe-%d' % os.getpid(); open(f, 'w'); m = os.stat(f).st_mode; os.unlink(f); need(m & 0o004)",
    ),
    "DynamicUser": Probe("DynamicUser=yes", "need(os.getuid() == 0)"),
}

NOT_HERE = {
    "DevicePolicy": "nspawn has its own device policy, and the files of other devices are absent",
    "KeyringMode": "nspawn refuses all keyring calls",
    "ProtectKernelTunables": "nspawn has made them read-only already",
    "RemoveIPC": "acts when the unit has stopped",
    "AmbientCapabilities": "says again that there are none",
    "SystemCallArchitectures": "needs a program of another architecture",
    "SystemCallErrorNumber": "part of SystemCallFilter's probe: without it the probe would die of SIGSYS",
    "ExecPaths": "part of NoExecPaths' probe",
    "IPAddressDeny": "needs BPF in the unit's control group, which nspawn does not have",
    "IPAddressAllow": "likewise",
    "TasksMax": "needs the pids controller",
    "MemoryMax": "needs the memory controller",
}
"""Lines that cannot be shown in nspawn, and why."""

NO_SANDBOX = {
    "Type", "NotifyAccess", "ExecStart", "ExecReload", "TimeoutStartSec", "TimeoutStopSec", "WatchdogSec", "Restart",
    "RestartSec", "RestartPreventExitStatus", "RuntimeDirectory", "StateDirectory",
    "StateDirectoryMode", "LoadCredential", "Environment",
}  # fmt: skip


def service_lines() -> list[str]:
    """Give the lines of the unit's service section."""
    section = UNIT.read_text(encoding="utf-8").split("[Service]")[1].split("[Install]")[0]
    return [line for line in section.splitlines() if "=" in line and not line.startswith("#")]


def test_every_line_has_a_probe_or_a_reason() -> None:
    """No line of the sandbox is left out silently."""
    keys = {line.split("=")[0] for line in service_lines()}
    assert keys == set(PROBES) | set(NOT_HERE) | NO_SANDBOX


@pytest.fixture(scope="session")
def field(machine: Machine) -> Machine:
    """A machine with what the probes look for."""
    for marker in ("/tmp/marker", "/usr/lib/modules/marker"):
        machine.run("mkdir", "-p", str(Path(marker).parent))
        machine.run("touch", marker)
    for kind in ("ipc", "mnt", "user"):
        link = machine.run("readlink", f"/proc/1/ns/{kind}").strip()
        machine.write(f"/etc/probe-{kind}", link)
    machine.write("/opt/probe.py", PREAMBLE)
    return machine


def outcome(machine: Machine, code: str, lines: str) -> int:
    """Run a probe in a unit with these lines → its exit status."""
    quoted = code.replace("%", "%%").replace('"', '\\"')
    text = f'[Service]\nType=oneshot\nExecStart={PYTHON} /opt/probe.py "{quoted}"\n{lines}\n'
    machine.write("/etc/systemd/system/probe.service", text)
    machine.run("systemctl", "daemon-reload")
    machine.status("systemctl", "start", "probe.service")
    status = int(machine.shown("ExecMainStatus", "probe.service"))
    machine.status("systemctl", "reset-failed", "probe.service")
    return status


@pytest.mark.parametrize("key", sorted(PROBES))
def test_line_bites(field: Machine, key: str) -> None:
    """Without the line the probe succeeds, with it alone it is refused, as with the whole unit."""
    probe = PROBES[key]
    assert outcome(field, probe.code, probe.base) == 0, field.journal("probe.service")[-2000:]
    assert outcome(field, probe.code, f"{probe.base}\n{probe.lines}") == REFUSED, field.journal(
        "probe.service"
    )[-2000:]
    no_service = {
        "Type",
        "ExecStart",
        "ExecReload",
        "NotifyAccess",
        "Restart",
        "WatchdogSec",
        "StateDirectory",
    }
    whole = "\n".join(line for line in service_lines() if line.split("=")[0] not in no_service)
    whole = whole.replace("/opt/edgeseq", "/usr/lib/edgeseq").replace(
        "/usr/bin/python3 ", "/usr/bin/python3.11 "
    )
    assert outcome(field, probe.code, whole) == REFUSED, field.journal("probe.service")[-2000:]
