"""The configuration: TOML in, frozen structs out. Every field has a unit, a default and a meaning.

The structs mirror the file. `resolve` makes of each [[streams]] table the core's StreamRule.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from edgeseq.core.types import Aggregate, Kind, Limits, OnGap


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: unknown keys are errors."""


class NodeConfig(_Table, frozen=True):
    """The [node] table."""

    name: str = "edgeseq"
    """Part of every output topic: edgeseq/<name>/…; [a-z0-9-]."""
    state_dir: str | None = None
    """Folder of journal and snapshot; default: $STATE_DIRECTORY, else $XDG_STATE_HOME/edgeseq."""
    clock: Literal["wall", "readings"] = "wall"
    """What silence is measured by: the wall clock, or the newest reading's time (recordings played at any speed)."""
    max_streams: int = 1000
    max_payload_bytes: int = 65_536


class MqttConfig(_Table, frozen=True):
    """The [mqtt] table."""

    host: str = "localhost"
    port: int | None = None
    """Default 1883, or 8883 with TLS."""
    version: Literal["3.1.1", "5"] = "5"
    username: str | None = None
    password_file: str | None = None
    """File that holds the password; under systemd the credential mqtt-password is found by itself."""
    client_id: str | None = None
    """Default edgeseq-<node>. Fixed, since the broker's session hangs on it."""
    keepalive_s: int = 20
    qos: Literal[0, 1] = 1
    tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    topic_prefix: str = "edgeseq"
    inflight: int = 1000
    """MQTT 5 receive maximum: unacknowledged messages the broker may send."""
    session_expiry: str = "7d"


class BundlesConfig(_Table, frozen=True):
    """The [bundles] table."""

    trusted_keys: str | None = None
    """Folder of *.pub files; default: trusted_keys beside the configuration file."""
    allow_unsigned: bool = False
    runtime: Literal["auto", "litert", "tflite", "numpy"] = "auto"
    variant: str | None = None
    """Force a quantization; default: the bundle's own choice."""


class JournalConfig(_Table, frozen=True):
    """The [journal] table."""

    durability: Literal["none", "batched"] = "batched"
    """none: state survives a clean stop only; batched: one fdatasync per batch, then the acknowledgements."""
    snapshot_every: str = "1h"


class LogConfig(_Table, frozen=True):
    """The [log] table."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class StreamConfig(_Table, frozen=True):
    """One [[streams]] table."""

    every: str
    """Grid period, such as 10m."""
    topic: str | list[str] | None = None
    exclude: list[str] = []
    field: str | None = None
    fields: list[str] = []
    name: str | None = None
    channels: dict[str, str | dict[str, str]] = {}
    """channel = "topic" (raw number), "topic#json.path", or {topic=…, field=…}."""
    aggregate: Aggregate | None = None
    """Default last; sum for counters."""
    on_gap: OnGap = "missing"
    kind: Kind = "gauge"
    unit: str | None = None
    horizon: str | None = None
    """How far the baseline forecasts; default 24 periods. A bundle brings its own."""
    season: str | None = None
    """Season of the baseline; default 1d where the period divides it into 2 to 2880 steps, else none."""
    time: str | None = None
    """JSON path of the reading's own time; default: time of arrival."""
    id: str | None = None
    """JSON path of a unique id of the reading, for deduplication."""
    quality: str | None = None
    """JSON path of a quality mark; other values than `good` make the reading missing."""
    good: list[str | int | bool] = []
    retained: bool = False
    """Whether retained messages are readings (a restart would invent fresh points)."""
    max_age: str | None = None
    silent_after: str | None = None
    limits: dict[str, Limits] | Limits | None = None
    alerts: bool = True
    """Whether anomalies of these streams raise alerts."""
    path: bool = True
    """Publish the whole path of leads; false: only the next step's scalars."""
    bundle: str | None = None
    """File of a bundle, relative to the configuration file."""


class Config(_Table, frozen=True):
    """The whole file."""

    node: NodeConfig = NodeConfig()
    mqtt: MqttConfig = MqttConfig()
    bundles: BundlesConfig = BundlesConfig()
    journal: JournalConfig = JournalConfig()
    log: LogConfig = LogConfig()
    streams: list[StreamConfig] = []
