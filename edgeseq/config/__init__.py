"""The configuration: TOML in, frozen structs out. Every field has a unit, a default and a meaning.

The structs mirror the file; `edgeseq.config.resolve` makes of them what the daemon needs. Durations are text: a
number and one of ms, s, m, h, d, w, also compound: 90s, 10m, 1h30m, 7d.
"""

from __future__ import annotations

import difflib
import enum
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from edgeseq.config.docstrings import field_docs
from edgeseq.config.overrides import overrides, refuse_secrets, value_of
from edgeseq.core.types import Aggregate, AlertKind, Kind, Limits, OnGap
from edgeseq.errors import ConfigError

MAX_FOUND_CHARS = 80

Port = Annotated[int, Meta(ge=1, le=65_535)]
Positive = Annotated[int, Meta(ge=1)]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: unknown keys are errors."""


class NodeConfig(_Table, frozen=True):
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


class MqttConfig(_Table, frozen=True):
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


class BundlesConfig(_Table, frozen=True):
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


class JournalConfig(_Table, frozen=True):
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


class LogConfig(_Table, frozen=True):
    """The log, as JSON lines on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is written."""


class HomeAssistantConfig(_Table, frozen=True):
    """Home Assistant finds the streams by itself (docs/home-assistant.md)."""

    discovery: bool = False
    """Whether the streams are announced to Home Assistant, from version 2024.11 on."""
    prefix: str = "homeassistant"
    """First levels of the announcements' topics, as set in Home Assistant."""
    status_topic: str = "homeassistant/status"
    """Where Home Assistant says online when it has started (its birth message): all is announced again then."""
    streams_per_device: Annotated[int, Meta(ge=1, le=64)] = 12
    """Most streams of one table that make a device there; 1 makes each a device, which can be put into a room."""


class MetricsConfig(_Table, frozen=True):
    """Figures for Prometheus (docs/metrics.md); off unless one of these says where."""

    listen: str | None = None
    """Address for GET /metrics, of this machine only: "127.0.0.1:9464", or a socket, "unix:/run/edgeseq/metrics.sock".
    Default: none, nobody can ask."""
    textfile: str | None = None
    """File that is written anew with each report of health, once a minute, for a textfile collector; its name ends in
    .prom. Default: none."""


class ChannelConfig(_Table, frozen=True):
    """A channel's source, written as a table."""

    topic: str
    """Topic filter."""
    field: str | None = None
    """JSON path. Default: the payload is the number itself."""


class KnownConfig(_Table, frozen=True):
    """Where the future of a covariate comes from, written as a table."""

    topic: str
    """Topic of messages that hold an array of objects, each with a time and a value, or an object of two arrays of one
    length, of times and of values; retained ones count."""
    field: str | None = None
    """JSON path of that array or object. Default: the payload itself."""
    time: str = "time"
    """JSON path of the time within an object, or of the array of times (ISO 8601 or epoch)."""
    value: str = "value"
    """JSON path of the value within an object, or of the array of values."""


class StreamConfig(_Table, frozen=True):
    """What becomes a stream.

    Either `topic`: each matching topic and field is a stream of its own. Or `name` with `channels`: one stream of
    several channels.
    """

    every: str
    """Grid period: one value is kept and forecast per period."""
    topic: str | list[str] | None = None
    """Topic filter or filters, with + and #."""
    exclude: list[str] = []
    """Topic filters that are left out."""
    field: str | None = None
    """JSON path of the value (a.b.c). Default: the payload is the number itself."""
    fields: list[str] = []
    """JSON paths of several values, each a stream of its own."""
    decoder: str | None = None
    """How devices say their numbers: zigbee2mqtt, tasmota, shelly1, shelly2, esphome, homeassistant,
    homie, influx, sparkplug (docs/decoders.md). Every number that a message holds becomes a stream, or those that
    `fields` names, by the end of their name, with * for anything. Default: JSON paths, or plain numbers."""
    rebirth: bool = False
    """Whether edge nodes are asked to be born again (sparkplug), on a topic of theirs, where aliases are not known."""
    name: str | None = None
    """Stable name of this table; with channels, the name of the stream. Default: the first topic filter."""
    channels: dict[str, str | ChannelConfig] = {}
    """Channel = "topic" (plain number), "topic#json.path", or { topic = …, field = … }."""
    aggregate: Aggregate | None = None
    """How the readings of one period become one value. Default: last; sum for counters."""
    lateness_steps: Annotated[int, Meta(ge=0, le=4)] = 0
    """Periods by which a reading may come behind newer ones and still take its place; needs `time`."""
    on_gap: OnGap = "missing"
    """What a period without a reading is: missing, or the last value held (devices that report only changes)."""
    kind: Kind = "gauge"
    """gauge: the value itself; counter: differences of an ever rising count, resets handled."""
    unit: str | dict[str, str] | None = None
    """Unit, passed on to subscribers; for channels of different units a table. Default: the bundle's, if any."""
    convert: str | list[str] | None = None
    """Units that readings become where theirs are of the same dimension: "°C", or ["°C", "W"]. Theirs are told by the
    decoder, else by `unit`. Default: none, they stay as they come."""
    horizon: str | None = None
    """How far the baseline forecasts; a bundle brings its own. Default: 24 periods."""
    coverage: Annotated[float, Meta(ge=0.5, le=0.99)] = 0.9
    """Share of the readings that the interval of a forecast is to hold, 0.5 to 0.99."""
    season: str | None = None
    """Season of the baseline, or none. Default: 1d where that is 2 to 2880 whole periods, else none."""
    time: str | None = None
    """JSON path of the reading's own time (ISO 8601 or epoch). Default: the time of arrival."""
    id: str | None = None
    """JSON path of a unique id of the reading, for deduplication. Default: time and value, else the delivery."""
    quality: str | None = None
    """JSON path of a quality mark; other values than `good` make the reading missing."""
    good: list[str | int | bool] = []
    """Values of the quality mark that mean good."""
    retained: bool = False
    """Whether retained messages are readings (a restart would invent fresh points)."""
    max_streams: Annotated[int, Meta(ge=1)] | None = None
    """Most streams of this table, so that one wildcard cannot take the places of others. Default: the node's limit."""
    max_age: str | None = None
    """Oldest time that a stream's first reading may have. Default: no limit, so that recordings can be played."""
    silent_after: str | None = None
    """Time without a reading after which a stream is silent. Default: learned from the stream's own rhythm."""
    limits: dict[str, float | Limits] = {}
    """Values outside are out of range: { min = …, max = … }, for channels { channel = { min = …, max = … } }."""
    alerts: bool | list[AlertKind] = True
    """Whether anomalies of these streams raise alerts, or a list of the kinds that do: spike, out_of_range, stuck,
    silent, limit_ahead, level_shift, drift, variance_change, broken_profile, broken_relation, novelty."""
    crossing_probability: Annotated[float, Meta(ge=0.05, le=0.95)] = 0.5
    """Probability that a forecast crosses one of `limits` from which limit_ahead alerts, 0.05 to 0.95."""
    sensitivity: Annotated[float, Meta(gt=0, le=100)] = 1.0
    """How easily anomalies raise alerts: 2 at half the deviation, 0.5 at twice the deviation. Limits and silence, which
    have settings of their own, and stuck values are as ever."""
    min_deviation: float | str | dict[str, float | str] | None = None
    """Smallest deviation from what is expected that may raise an alert, in the unit of the readings, or as a share of
    what is expected ("5%"); for channels { channel = … }. Default: none, any deviation may."""
    direction: Literal["both", "above", "below"] = "both"
    """On which side of what is expected deviations raise alerts."""
    min_duration: str | None = None
    """How long an anomaly must last before an alert opens; until then the status says watch. Default: none, at once.
    Stuck and silent have durations of their own."""
    refractory: Annotated[int, Meta(ge=0)] | str | None = None
    """Time after an alert, or number of periods, in which none of its kind opens. Default: 12 periods where the kind
    was learned of the stream's behaviour, none for out_of_range, stuck, silent and limit_ahead."""
    active_when: str | None = None
    """What tells whether the machine is on: "topic", "topic#json.path", either with " == value"; without it true, on,
    and numbers other than 0 mean on. While it is off readings count as missing and nothing is silent. Default: none,
    always on."""
    settle: str | None = None
    """Time after the machine is switched on in which its readings raise no alerts; needs active_when. Default: none."""
    alerts_per_week: Annotated[float, Meta(gt=0)] | None = None
    """Budget of this table: `edgeseq tune alerts` finds the sensitivity for it, bridge/health tells what is achieved.
    Default: none."""
    path: bool = True
    """Whether to publish the whole path of leads; false: only the next step's numbers."""
    known: dict[str, KnownConfig] = {}
    """Covariates of the bundle whose future is known: { outdoor = { topic = …, time = …, value = … } }."""
    bundle: str | None = None
    """File of a bundle, relative to the configuration file. Default: the baseline serves."""
    estimate: str | None = None
    """File of a bundle that estimates something else of these streams, a number or a class. Default: none."""


class MaintenanceConfig(_Table, frozen=True):
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


class Config(_Table, frozen=True):
    """The whole file."""

    node: NodeConfig = NodeConfig()
    """This installation."""
    mqtt: MqttConfig = MqttConfig()
    """The broker."""
    bundles: BundlesConfig = BundlesConfig()
    """Models."""
    journal: JournalConfig = JournalConfig()
    """What is kept on disk."""
    log: LogConfig = LogConfig()
    """The log."""
    metrics: MetricsConfig = MetricsConfig()
    """Figures for Prometheus."""
    homeassistant: HomeAssistantConfig = HomeAssistantConfig()
    """Home Assistant."""
    streams: list[StreamConfig] = []
    """Which messages become which streams."""
    maintenance: list[MaintenanceConfig] = []
    """When alerts are not told."""


def load_config(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration file; variables such as EDGESEQ__MQTT__HOST stand above it (`config.overrides`).

    Raises:
        ConfigError: it cannot be read, is no TOML, or has an unknown key or a wrong value.
    """
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ConfigError("the configuration is not UTF-8 text", where=f"{path}", found=str(error)) from error
    except OSError as error:
        raise ConfigError(
            "the configuration cannot be read",
            where=str(path),
            found=error.strerror,
            wanted="a TOML file",
            do="name the file with --config; `edgeseq config show --defaults` prints a sample",
        ) from error
    return parse_config(text, name=path.name, environment=environment)


def parse_config(
    text: str, *, name: str = "edgeseq.toml", environment: Mapping[str, str] | None = None
) -> Config:
    """Read a configuration; `name` is the file's, for errors."""
    sources = overrides(environment or {})
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("the configuration is not valid TOML", where=name, found=str(error)) from error
    except RecursionError as error:
        raise ConfigError("the configuration is nested too deeply", where=name) from error
    for path, variable in sources.items():
        _override(data, path, (environment or {})[variable])
    refuse_secrets(data, sources, name)
    try:
        return msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        fault = _explain(str(error), data, name)
        source = sources.get((fault.where or "").removeprefix(f"{name}: "))
        if source is not None:
            fault.where = f"environment: {source}"
        raise fault from error


def _override(data: dict[str, Any], path: str, text: str) -> None:
    """Set a key of a table as a variable of the environment says."""
    table, _, key = path.partition(".")
    kinds = {type(value) for value in _choices(path)} or {*_types_at(path)}
    inside = data.setdefault(table, {})
    if isinstance(inside, dict):  # else the file is wrong, which is told
        inside[key] = value_of(text, is_text=str in kinds)


# --- errors -----------------------------------------------------------------------------------------------------

_MESSAGE = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_TYPES = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "array": "list",
    "object": "table",
}
_STEP = re.compile(r"\[(\d+|\.\.\.)\]|([^.\[]+)")


def _explain(message: str, data: dict[str, Any], name: str) -> ConfigError:
    """Turn msgspec's message into one for the person who wrote the file."""
    parts = _MESSAGE.fullmatch(message)
    what, path = (parts["what"], parts["path"] or "") if parts else (message, "")
    if unknown := _UNKNOWN.fullmatch(what):
        return _explain_unknown(unknown[1], path, name)
    if missing := _MISSING.fullmatch(what):
        doc = _doc(path, missing[1])
        return ConfigError(
            f"the key {missing[1]} is missing",
            where=f"{name}: {path}",
            wanted=doc,
            do=f"add {missing[1]} = …",
        )
    key = _key(path)
    choices = _choices(path)
    wanted = " or ".join(map(repr, choices)) if choices else _in_words(what)
    doc = _doc(path.rpartition(".")[0], key)
    return ConfigError(
        f"{key or 'the file'} has a wrong value",
        where=f"{name}: {path}",
        found=_found(data, path),
        wanted=f"{wanted} ({doc.rstrip('.')})" if doc else wanted,
        do=_duration_advice(data, path, key),
    )


_DURATIONS = frozenset(
    {
        "every",
        "horizon",
        "season",
        "max_age",
        "silent_after",
        "session_expiry",
        "snapshot_every",
        "min_duration",
        "settle",
    }
)


def _duration_advice(data: dict[str, Any], path: str, key: str) -> str | None:
    """Say how a duration is written where a number without a unit was found."""
    found = _value_at(data, path)
    if key not in _DURATIONS or isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return f'write it as text, such as "{found if found > 0 else 600}s"'


def _key(path: str) -> str:
    """Give the last key of a path, without indices."""
    return next((key for _, key in reversed(_STEP.findall(path)) if key), "")


def _in_words(what: str) -> str:
    """Say the type that msgspec expected."""
    expected = what.removeprefix("Expected ").partition(", got")[0].replace("`", "").removesuffix(" | null")
    return re.sub(r"[a-z]+", lambda word: _TYPES.get(word[0], word[0]), expected).replace(" | ", " or ")


def _explain_unknown(key: str, path: str, name: str) -> ConfigError:
    """Name an unknown key and what may have been meant."""
    structs = _structs_at(path)
    known = [field.name for struct in structs for field in msgspec.structs.fields(struct)]
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return ConfigError(
        f"unknown key {key}",
        where=f"{name}: {path}.{key}" if path else f"{name}: {key}",
        found=key,
        wanted=f"one of {', '.join(sorted(known))}",
        do=f"did you mean {close[0]}?" if close else "remove it",
    )


def _found(data: Any, path: str) -> str:
    """Show the value at a path; all of a table of free keys, as msgspec does not say which one is wrong."""
    text = repr(_value_at(data, path))
    return text if len(text) <= MAX_FOUND_CHARS else f"{text[:MAX_FOUND_CHARS]}…"


def _value_at(data: Any, path: str) -> Any:
    """Find what the file says at a path, as far as the path is known."""
    for index, key in _STEP.findall(path):
        if index == "...":
            break
        data = data[int(index)] if index else data[key]
    return data


def _doc(path: str, key: str) -> str | None:
    """Find the docstring of a key in the table at a path."""
    return next((field_docs(s)[key] for s in _structs_at(path) if key in field_docs(s)), None)


def _structs_at(path: str) -> list[type[msgspec.Struct]]:
    """List the structs that the table at a path may be."""
    return [t for t in _types_at(path) if isinstance(t, type) and issubclass(t, msgspec.Struct)]


def _choices(path: str) -> tuple[Any, ...]:
    """List the values that a key of the file may have, if they are a closed set."""
    types = _types_at(path)
    named = [str(one) for t in types if isinstance(t, type) and issubclass(t, enum.StrEnum) for one in t]
    return (*named, *(value for t in types if get_origin(t) is Literal for value in get_args(t)))


def _types_at(path: str) -> list[Any]:
    """Follow a path such as streams[0].limits[...] through the structs' types."""
    types: list[Any] = [Config]
    for index, key in _STEP.findall(path):
        if index:
            types = [args[-1] for t in types if (args := get_args(t)) and get_origin(t) in (list, dict)]
        else:
            structs = [t for t in types if isinstance(t, type) and issubclass(t, msgspec.Struct)]
            types = [hint for s in structs if (hint := get_type_hints(s).get(key)) is not None]
        types = [choice for t in types for choice in _members(t)]
    return types


def _members(hint: Any) -> tuple[Any, ...]:
    """Split a union into its members."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
