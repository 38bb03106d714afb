"""Who may read and write our files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from edgeseq.config.resolve import Resolved
from edgeseq.doctor.finding import Finding, fail, ok, warn

OTHERS = stat.S_IRWXO
WRITTEN_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def check_files(config: Path, resolved: Resolved) -> Iterator[Finding]:
    """Check the rights of the state folder, of secrets, and of what decides whom to trust."""
    yield from _user()
    yield from _state(resolved.state_dir)
    if name := resolved.config.mqtt.password_file:
        yield judge_secret("password file", config.absolute().parent / name)
    if resolved.key_file:
        yield judge_secret("private key", resolved.key_file)
    yield judge_trust("configuration file", [config], "point this node at another broker or other keys")
    keys = resolved.trusted_keys
    if keys.is_dir():
        yield judge_trust("keys' rights", [keys, *keys.glob("*.pub")], "let this node load other models")


def _user() -> Iterator[Finding]:
    """Say when what follows is not what the daemon would see."""
    if os.geteuid() == 0:
        yield warn(
            "user",
            "root, whom no permission stops",
            "the user that the daemon runs as, and its folder",
            "run it as that user, with STATE_DIRECTORY set to its folder, such as /var/lib/edgeseq",
        )


def _state(folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():
        return
    mode = _mode(folder)
    foreign = [path.name for path in folder.iterdir() if not os.access(path, os.R_OK | os.W_OK)]
    if foreign:
        found = f"{', '.join(sorted(foreign)[:3])} cannot be read and written by this user"
        yield fail("state files", found, "files of the daemon's user", f"chown them; they are in {folder}")
    elif mode & stat.S_IWOTH:
        yield fail(
            "state files", f"{folder} has mode {mode:04o}: anybody may change it", "0700", _chmod(700, folder)
        )
    elif mode & (stat.S_IRWXG | OTHERS):
        yield warn("state files", f"{folder} has mode {mode:04o}: others see in", "0700", _chmod(700, folder))
    else:
        yield ok("state files", f"{folder} is closed to others")


def judge_secret(check: str, path: Path) -> Finding:
    """Judge a file that only the daemon's user, or its group, may read."""
    mode = _mode(path)
    if mode & OTHERS:
        found = f"{path} has mode {mode:04o}: anybody on this machine may use it"
        return fail(
            check, found, "0600", f"{_chmod(600, path)}; and make a new one, if somebody may have read it"
        )
    if mode & stat.S_IWGRP:
        return warn(check, f"{path} has mode {mode:04o}: its group may change it", "0640", _chmod(640, path))
    if not os.access(path, os.R_OK):
        return fail(check, f"{path} cannot be read by this user", "a readable file", f"chown {path}")
    return ok(check, f"{path} is closed to others")


def judge_trust(check: str, paths: list[Path], harm: str) -> Finding:
    """Judge files that nobody else may write."""
    opened = [path for path in paths if _mode(path) & WRITTEN_BY_OTHERS]
    if not opened:
        return ok(check, f"{paths[0]} cannot be changed by others")
    path = opened[0]
    found = f"{path} has mode {_mode(path):04o}: others may {harm}"
    judge = fail if _mode(path) & stat.S_IWOTH else warn
    return judge(check, found, "no write permission for group and others", f"chmod go-w {path}")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _chmod(mode: int, path: Path) -> str:
    return f"chmod {mode} {path}"
