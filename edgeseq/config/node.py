"""Tables about the node: the broker, models, what is kept, what is told to whom."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from edgeseq.config.table import Table

Port = Annotated[int, Meta(ge=1, le=65_535)]


class NodeConfig(Table, frozen=True):
    """This installation of edgeseq."""

    name: str = "edgeseq"
    """Part of every output topic: <topic_prefix>/<name>/…; of [a-z0-9-]."""
    state_dir: str | None = None
    """Folder of journal and snapshot. Default: $STATE_DIRECTORY, else $XDG_STATE_HOME/edgeseq."""
    clock: Literal["wall", "readings"] = "wall"
    """What silence is measured by: the wall clock, or the newest reading's time, for recordings played at any speed;
    a stream whose readings lie behind it by more than its own wait stays silent."""
    max_streams: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """Most streams that are created; readings of further ones are refused and counted."""
    max_payload_bytes: Annotated[int, Meta(ge=16, le=16 * 2**20)] = 65_536
    """Longest payload that is read, in bytes; longer ones are refused and counted."""
    requests: bool = False
    """Whether bridge/request/<verb> is answered, whoever asks: health, info, snapshot, streams, recording, alerts,
    acknowledge, snooze, maintenance, label. None moves a stream. Where it is on, a history of the alerts is kept."""
    updates: bool = False
    """Whether bundles that `edgeseq push` sends are taken, judged beside the present one and promoted: docs/updates.md.
    They must be signed by a trusted key, and so must be for which node and until when they are."""


class MqttConfig(Table, frozen=True):
    """The broker."""

    host: str = "localhost"
    """Name or address of the broker."""
    port: Port | None = None
    """Port of the broker. Default: 1883, or 8883 with TLS."""
    version: Literal["3.1.1", "5"] = "5"
    """Version of the MQTT protocol."""
    username: str | None = None
    """Name to log in with. Default: none."""
    password_file: str | None = None
    """File that holds the password; under systemd the credential mqtt-password is found by itself."""
    client_id: str | None = None
    """Fixed, since the broker's session hangs on it. Default: edgeseq-<node name>."""
    keepalive_s: Annotated[int, Meta(ge=5, le=65_535)] = 20
    """Seconds between signs of life; the broker publishes the last will after 1.5 times as long."""
    qos: Literal[0, 1] = 1
    """Quality of service of the subscriptions: 1 delivers at least once, over restarts too; 0 at most once."""
    tls: bool = False
    """Whether to encrypt; the broker's certificate and name are then always checked."""
    ca_file: str | None = None
    """Certificates to trust, PEM. Default: the system's."""
    cert_file: str | None = None
    """Certificate that edgeseq shows the broker, PEM."""
    key_file: str | None = None
    """Private key of cert_file, PEM."""
    topic_prefix: str = "edgeseq"
    """First levels of every output topic."""
    inflight: Annotated[int, Meta(ge=1, le=65_535)] = 1000
    """Unacknowledged messages that the broker may send (MQTT 5 receive maximum)."""
    session_expiry: str = "7d"
    """How long the broker keeps what arrives while edgeseq is away (MQTT 5)."""


class BundlesConfig(Table, frozen=True):
    """Models: which are trusted and what runs them."""

    trusted_keys: str | None = None
    """Folder of *.pub files. Default: trusted_keys beside the configuration file."""
    allow_unsigned: bool = False
    """Whether bundles without a signature may be loaded."""
    runtime: Literal["auto", "litert", "tflite", "numpy"] = "auto"
    """What runs the models; auto takes the first one that works."""
    variant: str | None = None
    """Force a quantization, such as float32. Default: the bundle's own choice."""
    promote: Literal["better", "not_worse"] = "better"
    """What a bundle that came over the air must show beside the present one to serve: that it errs significantly less,
    or only that it does not err significantly more."""
    choose: Literal["default", "measured"] = "default"
    """Which quantization serves where `variant` names none: the bundle's own choice; or, measured once on this machine,
    the most accurate one within the budgets below, and where none is within them the quickest."""
    cpu_budget: Annotated[float, Meta(gt=0, le=1)] = 0.25
    """Share of one core that a model may take for `max_streams` streams, each stepping once a period (measured)."""
    latency_budget: str = "50ms"
    """Longest step of a stream that comes alone (measured)."""
    memory_budget_bytes: Annotated[int, Meta(ge=2**20)] = 268_435_456
    """Most memory that a model with its runtime may take in a process of its own (measured)."""


class JournalConfig(Table, frozen=True):
    """What is kept on disk."""

    durability: Literal["none", "batched", "strict"] = "batched"
    """none: state survives a clean stop only; batched: forecasts at once, acknowledgements and alerts after the next
    commit; strict: every batch is committed before anything of it is told."""
    commit_every: str = "1s"
    """Longest time that readings wait for a commit when batched; they are committed early where the broker waits, and
    for alerts. Longer spares the flash: 1s costs some 0.5 GB a day, 10s some 0.2."""
    snapshot_every: str = "2h"
    """Longest time between two snapshots of the whole state; one is taken earlier where a start would take long."""
    max_bytes: Annotated[int, Meta(ge=67_108_864)] = 268_435_456
    """Length of the journals since the last snapshot beyond which nothing more is taken: reached only where no snapshot
    can be taken for long."""


class LogConfig(Table, frozen=True):
    """The log, as JSON lines on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is written."""


class HomeAssistantConfig(Table, frozen=True):
    """Home Assistant finds the streams by itself (docs/home-assistant.md)."""

    discovery: bool = False
    """Whether the streams are announced to Home Assistant, from version 2024.11 on."""
    prefix: str = "homeassistant"
    """First levels of the announcements' topics, as set in Home Assistant."""
    status_topic: str = "homeassistant/status"
    """Where Home Assistant says online when it has started (its birth message): all is announced again then."""
    streams_per_device: Annotated[int, Meta(ge=1, le=64)] = 12
    """Most streams of one table that make a device there; 1 makes each a device, which can be put into a room."""


class MetricsConfig(Table, frozen=True):
    """Figures for Prometheus (docs/metrics.md); off unless one of these says where."""

    listen: str | None = None
    """Address for GET /metrics, of this machine only: "127.0.0.1:9464", or a socket, "unix:/run/edgeseq/metrics.sock".
    Default: none, nobody can ask."""
    textfile: str | None = None
    """File that is written anew with each report of health, once a minute, for a textfile collector; its name ends in
    .prom. Default: none."""


class MaintenanceConfig(Table, frozen=True):
    """When alerts are not told, since somebody works there; they are counted, listed and kept nevertheless."""

    begin: str
    """A time such as 2026-03-01T10:00:00Z, or a weekday and time such as "Sun 02:00" for every week."""
    end: str
    """As begin; alerts that are still open then are told."""
    time_zone: str = "UTC"
    """Of weekdays, and of times without an offset: UTC, Europe/Berlin and so on."""
    streams: list[str] = []
    """Patterns of stream ids, with * and ?; none means all."""
    table: str | None = None
    """A [[streams]] table, by its name or first topic filter. Default: all of them."""
    alert_kind: str | None = None
    """Kind of alert, such as silent. Default: all of them."""
