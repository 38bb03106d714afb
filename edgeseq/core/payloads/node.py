"""What is told of the node: what runs, how it fares, and what happens to it."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from edgeseq.core.payloads.models import PairedTest, UpdateInfo, VariantChoice
from edgeseq.core.payloads.shared import Payload, Seconds, Time
from edgeseq.core.types import Source


class StatePayload(msgspec.Struct, frozen=True):
    """bridge/state, retained, also as the last will: offline is a lost connection, stopped a clean end."""

    state: Literal["online", "offline", "stopped"]
    """offline is told by the broker, the others by the node."""


class RuleInfo(msgspec.Struct, frozen=True):
    """One [[streams]] table as resolved."""

    key: str
    """Its name, else its first topic filter."""
    period_s: Seconds
    """Length of a step (s)."""
    channels: tuple[str, ...]
    """Names of the channels."""
    bundle: str | None
    """The model's name and digest; null where the baseline serves."""
    estimate: str | None = None
    """The estimator's name and digest; null where nothing is estimated."""


class InfoPayload(Payload, frozen=True, kw_only=True):
    """bridge/info, retained: what runs here."""

    version: str
    """Version of edgeseq."""
    node: str
    """Name of the node."""
    rules: list[RuleInfo]
    """What becomes a stream."""
    updates: list[UpdateInfo] | UnsetType = UNSET
    """What has come over the air; absent where nothing has."""
    variants: list[VariantChoice] | UnsetType = UNSET
    """Quantizations that were chosen by measuring; absent where none was."""


class AlertRate(msgspec.Struct, frozen=True, kw_only=True):
    """How many alerts a [[streams]] table raises."""

    table: str
    """Its name, else its first topic filter."""
    per_week: float | None
    """Alerts a week, those of one group counted once: decayed, with a memory of 4 weeks; null in the first week."""
    budget: float | None
    """As configured (`alerts_per_week`); null where it is not."""


class TableIntervals(msgspec.Struct, frozen=True, kw_only=True):
    """What the intervals of a [[streams]] table, as published for the next step, have held of late."""

    table: str
    """Its name, else its first topic filter."""
    promised: float
    """As configured (`coverage`)."""
    coverage: float | None
    """Share of the readings inside: decayed, with a half-life of 336 readings of a stream, mean of its streams; null
    while none was judged."""
    width: float | None
    """Their width, in mean absolute errors of the baseline at the same lead: median of its streams; null while
    unknown."""
    outcomes: int
    """Readings that were judged so, ever."""


class HealthPayload(Payload, frozen=True, kw_only=True):
    """bridge/health, retained: how the node fares, since it started."""

    time: Time
    """Time of the report."""
    uptime_s: Seconds
    """Time since the start (s)."""
    streams: int
    """Streams that exist."""
    open_alerts: int
    """Alerts that are open."""
    received: int
    """Readings and rejections: received = applied + late + duplicate + all of rejected + shed, at all times."""
    applied: int
    """Readings that moved a stream."""
    late: int
    """Readings older than the newest step."""
    duplicate: int
    """Readings that had been applied already."""
    rejected: dict[str, int]
    """Reason → count of what could not be used; a message that was not read (`payload_too_large`, no room) is one."""
    shed: int = 0
    """Readings given up, where the node was stopped while the disk refused: those that could not be committed, and of
    messages with QoS 0 that still waited one each, as for all messages that are not read."""
    ignored: int = 0
    """Messages that say no number, as is normal for their family (a lamp is on): not among `received`."""
    rss_bytes: int | None = None
    """Resident memory (bytes); null where unknown."""
    inbox_messages: int = 0
    """Messages that wait."""
    alerts_waiting: int = 0
    """Alerts that the broker has not acknowledged yet."""
    alerts_dropped: int = 0
    """Alerts given up because too many waited."""
    connections: int = 0
    """Connections that the broker has accepted."""
    sessions_lost: int = 0
    """Times the broker had forgotten our session: messages may have been lost."""
    storage_faults: int = 0
    """Times the disk refused a write; nothing is acknowledged meanwhile."""
    requests: int = 0
    """Requests answered."""
    requests_refused: int = 0
    """Requests that were none, or too many."""
    alerts_muted: int = 0
    """Alerts that opened while a snooze or maintenance held."""
    ledger_faults: int = 0
    """Times the ledger of alerts could not be used: requests about alerts are refused meanwhile, alerts are told."""
    history_lost: int = 0
    """Alert events that are missing in the history, since the ledger could not be written for long."""
    alert_rates: list[AlertRate] = []
    """Alerts a week of each table; where requests are answered or maintenance is configured."""
    intervals: list[TableIntervals] = []
    """What the intervals of each table have held of late."""


class EventPayload(Payload, frozen=True, kw_only=True):
    """bridge/event: something happened to a stream, or to the models of the node."""

    event: Literal[
        "stream.created",
        "stream.reset",
        "stream.switched",
        "alerts.grouped",
        "update.received",
        "update.refused",
        "update.staged",
        "update.shadowing",
        "update.promoted",
        "update.settled",
        "update.rolled_back",
        "model.outdated",
        "variant.chosen",
    ]
    """What happened; alerts.grouped: alerts opened together, told at 3 of them, at 9, at 27 and so on. update: a bundle
    that is sent over the air (docs/updates.md). model.outdated: a model errs more than the baseline for long.
    variant.chosen: a quantization was chosen by measuring."""
    stream: str | UnsetType = UNSET
    """stream, alerts: id of the stream; of a group the newest one's."""
    topic: str | UnsetType = UNSET
    """stream.created: where its readings come from."""
    field: str | UnsetType | None = UNSET
    """stream.created: JSON path of its value; null for a plain number."""
    gap_steps: int | UnsetType = UNSET
    """stream.reset: steps without a reading."""
    source: Source | UnsetType = UNSET
    """stream.switched: what serves from now on."""
    skill: float | UnsetType | None = UNSET
    """stream.switched: 1 - error of the forecasts with the model / error of the baseline, over all leads."""
    group: str | UnsetType = UNSET
    """alerts.grouped: as in `alert`."""
    count: int | UnsetType = UNSET
    """alerts.grouped: alerts of the group that are open."""
    streams: list[str] | UnsetType = UNSET
    """alerts.grouped, model.outdated: ids of their streams, of 20 at most."""
    bundle: str | UnsetType = UNSET
    """update, model.outdated: the configured bundle."""
    sequence: int | UnsetType = UNSET
    """update: of its release."""
    label: str | UnsetType = UNSET
    """update: name and digest of the new model, as its signer says."""
    reason: str | UnsetType = UNSET
    """update: why."""
    is_clock_synchronised: bool | UnsetType = UNSET
    """update.received: whether the clock that its end was judged by is set by the network."""
    test: PairedTest | UnsetType = UNSET
    """update: what the comparison of both models has shown."""
    choice: VariantChoice | UnsetType = UNSET
    """variant.chosen: which, and what each costs."""
