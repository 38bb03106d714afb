"""Resolve a configuration: defaults filled in, durations read, files found, every contradiction refused."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeseq.config import Config, MqttConfig
from edgeseq.config.place import Place
from edgeseq.config.rules import resolve_streams
from edgeseq.config.telling import Address, address, textfile
from edgeseq.config.windows import Window, fault_of
from edgeseq.core.bridge import request_filter
from edgeseq.core.topics import MAX_TOPIC_CHARS, has_wildcard, is_covered
from edgeseq.core.types import AlertKind, Options, StreamRule
from edgeseq.errors import ConfigError

PORT, TLS_PORT = 1883, 8883

CREDENTIAL = "mqtt-password"
"""Name under which systemd hands over the password (LoadCredential of the unit)."""

MAX_SESSION_EXPIRY_S = 2**32 - 1
"""MQTT 5.0, section 3.1.2.11.2: a four byte integer, whose highest value means for ever."""

_NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")


LONGEST_COMMIT_S = 60


@dataclass(frozen=True, slots=True)
class Resolved:
    """All that the daemon needs of a configuration. Paths are absolute."""

    config: Config
    rules: tuple[StreamRule, ...]
    options: Options
    filters: tuple[str, ...]
    """Topic filters to subscribe to; none is covered by another."""
    bundles: dict[str, Path]
    """StreamRule.bundle or .estimate → file."""
    state_dir: Path
    trusted_keys: Path
    port: int
    client_id: str
    session_expiry_s: int
    snapshot_every_s: float
    commit_every_s: float
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None
    maintenance: tuple[Window, ...] = ()
    latency_budget_ns: int = 50 * 10**6
    configured: Mapping[str, Path] = field(default_factory=dict)
    """As `bundles`, where others that came over the air stand in for some: the files that the configuration names."""
    metrics_listen: Address | None = None
    """Where others may ask for metrics."""
    metrics_textfile: Path | None = None
    password: str | None = field(default=None, repr=False)


def resolve(
    config: Config, base_dir: Path, *, name: str = "edgeseq.toml", environment: Mapping[str, str] = os.environ
) -> Resolved:
    """Fill in, check and find everything that a configuration says.

    Args:
        config: as loaded.
        base_dir: folder that relative paths start from: the configuration file's.
        name: the file's name, for errors.
        environment: where $STATE_DIRECTORY, $XDG_STATE_HOME, $HOME and $CREDENTIALS_DIRECTORY are looked up.

    Raises:
        ConfigError: something contradicts itself or cannot be used. Bundles are not opened here.
    """
    base = base_dir.absolute()
    settings, place = config.mqtt, Place(name, "mqtt")
    _check_names(config, name)
    _check_tls(settings, place)
    root = f"{settings.topic_prefix}/{config.node.name}"
    rules = resolve_streams(config.streams, file=name, output=f"{root}/#")
    return Resolved(
        config=config,
        rules=rules,
        options=Options(config.node.max_streams, config.node.max_payload_bytes, config.node.clock),
        filters=_subscriptions(rules, _own_filters(config, root)),
        bundles={
            key: base / key for rule in rules for key in (rule.bundle, rule.estimate) if key is not None
        },
        state_dir=_state_dir(config, base, environment),
        trusted_keys=base / (config.bundles.trusted_keys or "trusted_keys"),
        port=settings.port or (TLS_PORT if settings.tls else PORT),
        client_id=settings.client_id or f"edgeseq-{config.node.name}",
        session_expiry_s=_session_expiry_s(settings, place),
        commit_every_s=_commit_every_s(Place(name, "journal"), config.journal.commit_every),
        snapshot_every_s=Place(name, "journal").duration_ns("snapshot_every", config.journal.snapshot_every)
        / 1e9,
        ca_file=_file(place, "ca_file", base, settings.ca_file),
        cert_file=_file(place, "cert_file", base, settings.cert_file),
        key_file=_file(place, "key_file", base, settings.key_file),
        maintenance=tuple(_maintenance(config, rules, name)),
        latency_budget_ns=Place(name, "bundles").duration_ns("latency_budget", config.bundles.latency_budget),
        metrics_listen=address(Place(name, "metrics"), config.metrics.listen),
        metrics_textfile=textfile(Place(name, "metrics"), base, config.metrics.textfile),
        password=_password(place, settings, base, environment),
    )


def _maintenance(config: Config, rules: Iterable[StreamRule], name: str) -> Iterator[Window]:
    """Read the windows in which alerts are not told."""
    tables, kinds = [rule.key for rule in rules], [str(kind) for kind in AlertKind]
    for i, told in enumerate(config.maintenance):
        place = Place(name, f"maintenance[{i}]")
        for key, known in (("table", tables), ("alert_kind", kinds)):
            found = getattr(told, key)
            if found is not None and found not in known:
                raise place.fault(
                    f"there is no such {key}", key, found=found, wanted=f"one of {', '.join(known)}"
                )
        window = Window(
            begin=told.begin, end=told.end, streams=tuple(told.streams), table=told.table, kind=told.alert_kind,
            time_zone=told.time_zone,
        )  # fmt: skip
        if fault := fault_of(window):
            raise place.fault("this is no window of time", found=f"{told.begin} to {told.end}", wanted=fault)
        yield window


def _check_names(config: Config, name: str) -> None:
    """Demand a node name and a prefix that make valid topics."""
    if _NODE_NAME.fullmatch(config.node.name) is None:
        raise Place(name, "node").fault(
            "the node name is no topic level", "name", found=config.node.name, wanted="1 to 64 of [a-z0-9-]"
        )
    _check_prefix(Place(name, "mqtt"), "topic_prefix", config.mqtt.topic_prefix, "edgeseq")
    home = config.homeassistant
    _check_prefix(Place(name, "homeassistant"), "prefix", home.prefix, "homeassistant")
    _check_prefix(Place(name, "homeassistant"), "status_topic", home.status_topic, "homeassistant/status")


def _check_prefix(place: Place, key: str, prefix: str, example: str) -> None:
    """Demand levels that can be published to."""
    is_odd = (
        has_wildcard(prefix) or prefix.startswith("$") or "\0" in prefix or len(prefix) > MAX_TOPIC_CHARS // 2
    )
    if is_odd or not all(prefix.split("/")):
        raise place.fault(
            f"the {key.replace('_', ' ')} cannot be published to",
            key,
            found=prefix,
            wanted=f"levels such as {example}",
        )


def _check_tls(settings: MqttConfig, place: Place) -> None:
    """Refuse certificates without encryption: a password would go in the clear against the writer's intent."""
    for key in ("ca_file", "cert_file", "key_file"):
        if getattr(settings, key) is not None and not settings.tls:
            raise place.fault(f"{key} is given but tls is off", key, do="add tls = true")
    if (settings.cert_file is None) is not (settings.key_file is None):
        raise place.fault(
            "cert_file and key_file belong together",
            "cert_file" if settings.key_file else "key_file",
            do="add it",
        )


def _commit_every_s(place: Place, text: str) -> float:
    """Read the time between commits."""
    every_s = place.duration_ns("commit_every", text) / 1e9
    if every_s > LONGEST_COMMIT_S:
        raise place.fault(
            "acknowledgements would wait too long",
            "commit_every",
            found=text,
            wanted=f"at most {LONGEST_COMMIT_S}s",
            do="readings that wait at the broker are its to keep, and it keeps only so many",
        )
    return every_s


def _subscriptions(rules: Iterable[StreamRule], own: tuple[str, ...]) -> tuple[str, ...]:
    """List the filters of all rules and our own. What another one covers would only be delivered twice."""
    wanted = dict.fromkeys([*(topic for rule in rules for topic in rule.filters), *own])
    return tuple(
        one for one in wanted if not any(other != one and is_covered(one, other) for other in wanted)
    )


def _own_filters(config: Config, root: str) -> tuple[str, ...]:
    """List what the node itself hears: requests, and the birth of Home Assistant."""
    found = (request_filter(root),) if config.node.requests else ()
    return (*found, config.homeassistant.status_topic) if config.homeassistant.discovery else found


def _state_dir(config: Config, base: Path, environment: Mapping[str, str]) -> Path:
    """Find the folder of the state; systemd may name several."""
    if config.node.state_dir is not None:
        return base / config.node.state_dir
    given = environment.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    shared = environment.get("XDG_STATE_HOME")
    return (Path(shared) if shared else Path(environment.get("HOME", "/")) / ".local" / "state") / "edgeseq"


def _session_expiry_s(settings: MqttConfig, place: Place) -> int:
    """Read the session expiry as the integer that MQTT carries."""
    expiry_s = place.duration_ns("session_expiry", settings.session_expiry) // 10**9
    return min(expiry_s, MAX_SESSION_EXPIRY_S)


def _file(place: Place, key: str, base: Path, name: str | None) -> Path | None:
    """Find a file that the configuration names."""
    if name is None:
        return None
    path = base / name
    if not path.is_file():
        raise place.fault(f"{key} does not exist", key, found=str(path), wanted="a file")
    return path


def _password(place: Place, settings: MqttConfig, base: Path, environment: Mapping[str, str]) -> str | None:
    """Read the password: from its file, else from the credentials that systemd hands over."""
    if settings.username is None:
        if settings.password_file is not None:
            raise place.fault("a password without a username", "password_file", do="add username")
        return None
    folder = environment.get("CREDENTIALS_DIRECTORY")
    credential = Path(folder) / CREDENTIAL if folder else None
    path = base / settings.password_file if settings.password_file else credential
    if path is None or (path is credential and not path.exists()):
        return None
    try:
        return path.read_bytes().decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        raise ConfigError(
            "the password cannot be read",
            where=f"{place.file}: mqtt.password_file",
            found=f"{path}: {what}",
            wanted="a file that holds the password alone",
        ) from error
