"""What a broker keeps over its own restart: no client can see it, but mosquitto's files on this machine tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgeseq.doctor.finding import Finding, fail, ok, warn

CONF = Path("/etc/mosquitto/mosquitto.conf")
DEFAULT_PORT = 1883
LONGEST_AUTOSAVE_S = 300
DEFAULT_AUTOSAVE_S = 1800

Options = list[tuple[str, str]]

_WANTED = "sessions, queues and retained states that survive the broker's restart"
_DO = "mosquitto: persistence true, autosave_interval 300 (deploy/mosquitto.conf shows how)"


def check_mosquitto(port: int, *, is_here: bool, conf: Path = CONF) -> Iterator[Finding]:
    """Check a mosquitto that listens on a port of this machine."""
    try:
        options = read_options(conf) if is_here else []
    except (OSError, UnicodeDecodeError):
        options = []
    yield judge_options(options if port in _ports(options) else [])


def read_options(path: Path) -> Options:
    """Read a mosquitto.conf and the *.conf files of its include_dir. Raises OSError and UnicodeDecodeError."""
    options: Options = []
    for line in path.read_text(encoding="utf-8").splitlines():
        key, value, *_ = (*line.split(maxsplit=1), "", "")
        if key == "include_dir":
            for included in sorted(Path(value.strip()).glob("*.conf")):
                options += read_options(included)
        elif key and not key.startswith("#"):
            options.append((key, value.strip()))
    return options


def judge_options(options: Options) -> Finding:
    """Judge what survives; of an option that stands twice the last one holds."""
    if not options:
        found = "what the broker keeps over its own restart cannot be seen from here"
        return warn("persistence", found, _WANTED, f"look it up in the broker's configuration; {_DO}")
    last = dict(options)
    if last.get("persistence", "false") != "true":
        return fail("persistence", "off: a restart of the broker forgets what was waiting", _WANTED, _DO)
    if last.get("autosave_on_changes", "false") == "true":
        found = "saved after so many changes: under load the broker writes its whole database all the time"
        return warn("persistence", found, _WANTED, "mosquitto: autosave_on_changes false")
    told = last.get("autosave_interval", "")
    autosave_s = int(told) if told.isdecimal() else DEFAULT_AUTOSAVE_S
    if not 0 < autosave_s <= LONGEST_AUTOSAVE_S:
        found = (
            f"saved every {autosave_s} s: a power cut loses what waited since"
            if autosave_s
            else "saved at the end"
        )
        return warn("persistence", found, f"at most {LONGEST_AUTOSAVE_S} s", _DO)
    return ok("persistence", f"mosquitto saves every {autosave_s} s; a power cut loses what is younger")


def _ports(options: Options) -> set[int]:
    """List the ports that it listens on; without a listener the default one."""
    told = [value.split()[0] for key, value in options if key in ("listener", "port") and value]
    return {int(port) for port in told if port.isdecimal()} or {DEFAULT_PORT}
