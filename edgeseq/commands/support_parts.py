"""What goes into a support bundle, each part as text without secrets and without readings."""

from __future__ import annotations

import base64
import importlib.metadata
import platform
import re
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from edgeseq import __version__
from edgeseq.adapters import snapshot
from edgeseq.config import Config, load_config
from edgeseq.config.resolve import CREDENTIAL, Resolved, resolve
from edgeseq.config.sample import effective
from edgeseq.core.instants import format_instant
from edgeseq.doctor import examine
from edgeseq.doctor.probe import connected
from edgeseq.errors import BrokerError, ConfigError

MASK = "[redacted]"
LOG_BYTES = 2**20
"""Of the log's end."""
SHORTEST_SECRET = 3
"""A shorter password is not looked for: it would mask letters everywhere."""
DISTRIBUTIONS = (
    "ai-edge-litert", "tflite-runtime", "numpy", "msgspec", "paho-mqtt", "structlog", "apscheduler", "cryptography",
)  # fmt: skip
TOLD = ("state", "info", "health")
"""Retained messages below bridge/ that hold counts and versions only."""
OWN_WORDS = frozenset({"payload", "value", "observed", "found", "text", "evidence"})
"""Keys of log lines that may quote what sensors or users have sent."""

_NAMED = re.compile(
    r"""(?ix) ( ["']? [\w.-]* (?: passw(?:or)?d | passphrase | secret | token | api[_-]?key | credential ) [\w.-]* ["']?
    \s* [:=] \s* ) ( "[^"\n]*" | '[^'\n]*' | [^\s,;}]+ )"""
)
"""A key whose name says that its value is a secret; a file's path is none."""
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_USER_INFO = re.compile(r"(://)[^/\s:@]*:[^/\s@]*@")
_FILES = re.compile(r"(?i)_file\s*[\"']?\s*[:=]")


def scrub(text: str, known: Iterable[str] = ()) -> str:
    r"""Mask secrets: known ones wherever they stand, and what looks like one.

    >>> scrub('password = "hunter2"\nca_file = "/etc/ca.pem"\nmqtt://ann:pw@host', ["ca.p"])
    'password = [redacted]\nca_file = "/etc/[redacted]em"\nmqtt://[redacted]@host'
    """
    for secret in sorted(set(known), key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = _PEM.sub(MASK, text)
    text = _USER_INFO.sub(rf"\1{MASK}@", text)
    return _NAMED.sub(lambda found: found[0] if _FILES.search(found[1]) else f"{found[1]}{MASK}", text)


def known_secrets(config: Config | None, resolved: Resolved | None, base: Path) -> set[str]:
    """List what must not get out: the password in each form it is sent in, and keys that the configuration names."""
    texts = [resolved.password] if resolved and resolved.password else []
    names = [config.mqtt.password_file, config.mqtt.key_file] if config else []
    for path in [base / name for name in names if name] + [base / CREDENTIAL]:
        try:
            texts.append(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            continue
    lines = {line.strip() for text in texts for line in text.splitlines() if "-----" not in line}
    plain = {line for line in lines if len(line) >= SHORTEST_SECRET}
    user = config.mqtt.username or "" if config else ""
    coded = {base64.b64encode(word.encode()).decode() for one in plain for word in (one, f"{user}:{one}")}
    return plain | coded


def collect(path: Path, log: Path | None, *, is_examined: bool, with_readings: bool) -> dict[str, bytes]:
    """Make all parts → name → bytes. Nothing that cannot be read stops the rest: its part says why."""
    config, resolved, fault = _load(path)
    known = known_secrets(config, resolved, path.absolute().parent)
    parts = {"version.json": _json(versions())}
    parts["configuration.toml"] = effective(config) if config else f"# it cannot be read: {fault}\n"
    if is_examined:
        parts["doctor.txt"] = "".join(f"{finding}\n" for finding in examine(path))
    if log is not None:
        parts["log.jsonl"] = "".join(log_lines(log, with_readings=with_readings))
    if resolved is not None:
        if is_examined:
            parts["told.json"] = _json(_told(resolved))
        parts["state.json"] = _json([*_state(resolved.state_dir)])
        parts["bundles.json"] = _json([*_files(resolved.bundles.values())])
    elif config is not None:
        parts["fault.txt"] = f"{fault}\n"
    clean = {name: scrub(text, known).encode() for name, text in parts.items()}
    if with_readings and resolved is not None:
        kept = [file for file in _state_files(resolved.state_dir) if file.suffix != ".lock"]
        clean |= {f"state/{file.name}": file.read_bytes() for file in kept}
    return clean


def _load(path: Path) -> tuple[Config | None, Resolved | None, str]:
    try:
        config = load_config(path)
    except ConfigError as fault:
        return None, None, str(fault)
    try:
        return config, resolve(config, path.parent, name=path.name), ""
    except ConfigError as fault:
        return config, None, str(fault)


def versions() -> dict[str, Any]:
    """Name what runs here."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return {
        "edgeseq": __version__,
        "made": format_instant(time.time_ns() // 10**9 * 10**9),
        "python": sys.version,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": found,
    }


def log_lines(log: Path, *, with_readings: bool) -> Iterator[str]:
    """Give the end of a log; of lines that are JSON what may quote a reading is left out, others are dropped."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_BYTES))
        text = file.read(LOG_BYTES).decode("utf-8", "replace")
    for line in text.splitlines(keepends=True):
        try:
            told = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError):
            continue  # the first one may be cut, and what is no line of edgeseq's may hold anything
        hidden = set() if with_readings else OWN_WORDS & told.keys()
        yield _json({**told, **dict.fromkeys(hidden, MASK)}, indent=0)


def _told(resolved: Resolved) -> dict[str, Any]:
    """Read what the daemon has said of itself at the broker."""
    root = f"{resolved.config.mqtt.topic_prefix}/{resolved.config.node.name}/bridge"
    try:
        with connected(resolved, f"edgeseq-support-{secrets.token_hex(4)}") as probe:
            found = {message.topic: message.payload for message in probe.read_retained(f"{root}/+")}
    except (BrokerError, ConfigError) as fault:
        return {"fault": str(fault)}
    told: dict[str, Any] = {}
    for name in TOLD:
        try:
            told[name] = msgspec.json.decode(found.get(f"{root}/{name}", b"null"))
        except (msgspec.MsgspecError, RecursionError) as fault:
            told[name] = f"no JSON: {fault}"
    return told


def _state(folder: Path) -> Iterator[dict[str, Any]]:
    for entry, file in zip(_files(_state_files(folder)), _state_files(folder), strict=True):
        head = snapshot.describe(file) if file.name.startswith("snapshot-") else None
        yield entry | ({"header": head} if head else {})


def _state_files(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if file.is_file())
    except OSError:
        return []


def _files(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Describe files by name, length, rights and time."""
    for path in paths:
        try:
            found = path.stat()
        except OSError as fault:
            yield {"file": path.name, "fault": fault.strerror}
            continue
        changed = format_instant(found.st_mtime_ns // 10**9 * 10**9)
        yield {
            "file": path.name,
            "bytes": found.st_size,
            "mode": f"{found.st_mode & 0o7777:04o}",
            "changed": changed,
        }


def _json(found: Any, indent: int = 1) -> str:
    text = msgspec.json.encode(found)
    return (msgspec.json.format(text, indent=indent) if indent else text).decode() + "\n"
