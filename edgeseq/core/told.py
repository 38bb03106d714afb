"""What subscribers were told, and of what node: the memory of rendering, and the topics that it writes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from edgeseq.core.estimated import Estimated
from edgeseq.core.forecast_payload import Template
from edgeseq.core.muting import MutesAt, Subject, nothing_muted
from edgeseq.core.payloads import AlertPayload, ClassPayload, OpenAlert, StatusPayload
from edgeseq.core.topics import slug
from edgeseq.core.types import AlertEvent, DataStatus, Outgoing, Phase, StreamInfo, StreamRule

NEW = StatusPayload(phase=Phase.LEARNING, data=DataStatus.OK, alert="none")
"""Status of a stream that has none yet."""


class Standing(NamedTuple):
    """An alert that is open."""

    channel: int | None
    """None: the whole stream."""
    alert: OpenAlert
    newest: Outgoing
    """Its newest event, to be told when it is muted no longer."""
    subject: Subject
    is_told: bool
    """Whether subscribers know of it."""


class Acknowledgement(NamedTuple):
    """A person has taken note of an alert."""

    time_ns: int
    by: str | None


class Recorded(NamedTuple):
    """An alert event for the history."""

    payload: AlertPayload
    event: AlertEvent
    table: str
    """Key of its rule."""
    is_muted: bool


_NONE_OPEN: Mapping[str, Standing] = MappingProxyType({})
"""As of nearly all streams, which share it."""


@dataclass(frozen=True, slots=True)
class RenderContext:
    """What rendering needs to know of the node."""

    prefix: str
    node: str
    infos: Sequence[StreamInfo]
    """The registry's streams, by index; grows while the node runs."""
    rules: Mapping[str, StreamRule]
    """Key → rule."""
    bundles: Mapping[str, str]
    """Key of a rule → label of its bundle, such as house@3f9a51c2; rules without one are absent."""
    estimated: Mapping[str, Estimated] = field(default_factory=dict)
    """Key of a rule → what its estimator tells of; rules without one are absent."""

    @property
    def root(self) -> str:
        """Give the topic above all others of this node."""
        return f"{self.prefix}/{self.node}"

    def rule_of(self, stream: int) -> StreamRule:
        """Find a stream's rule."""
        return self.rules[self.infos[stream].rule]


@dataclass(slots=True)
class View:
    """What subscribers were told of one stream."""

    scalars: tuple[bytes, ...] = ()
    """The newest forecast of each channel, without its path and last brace."""
    name: bytes = b""
    """The stream's id as text, once it is asked for, …"""
    topics: tuple[str, ...] = ()
    """… where the forecast of each channel goes, …"""
    unit: str | None = None
    """… and its own unit, where a decoder knew one."""
    latest_from_ns: int = -(2**62)
    """Origin from which on the next `latest` is due."""
    status: StatusPayload = NEW
    state: ClassPayload | None = None
    """Its class, where an estimator tells one."""
    open: Mapping[str, Standing] = field(default_factory=lambda: _NONE_OPEN)
    """Alert id → alert."""

    def put(self, name: str, standing: Standing) -> None:
        """Keep an alert that is open."""
        self.open = {**self.open, name: standing}

    def drop(self, name: str) -> None:
        """Forget one that is not."""
        self.open = {other: standing for other, standing in self.open.items() if other != name} or _NONE_OPEN


@dataclass(slots=True)
class RenderState:
    """What subscribers were told. Never saved: rendering the statuses and open alerts of a state rebuilds it."""

    views: dict[int, View] = field(default_factory=dict)
    templates: dict[tuple[str, int, str | None], Template] = field(default_factory=dict)
    """Key of a rule, horizon and the unit of streams that have their own → payloads."""
    mutes: MutesAt = nothing_muted
    """When alerts are not told."""
    acknowledged: dict[str, Acknowledgement] = field(default_factory=dict)
    """Id of an open alert → who has taken note of it."""
    told_late: set[str] = field(default_factory=set)
    """Ids of alerts that were muted as they opened and have been told since."""
    late: list[Outgoing] = field(default_factory=list)
    """Events that were told late and that the desk has not noted yet."""
    groups: dict[str, dict[str, str]] = field(default_factory=dict)
    """Group → ids and streams of its alerts that are open and not muted."""
    record: list[Recorded] | None = None
    """Alert events for the history, where one is kept."""
    newest_alert_ns: int = -(2**62)
    """Time of the newest alert event: what people ask for begins later."""

    def view(self, stream: int) -> View:
        """Give the view of a stream."""
        view = self.views.get(stream)
        if view is None:
            view = self.views[stream] = View()
        return view


def base(context: RenderContext, stream: int, channel: int | None = None) -> str:
    """Give the topic above a stream's, or above one of its channels' where it has several."""
    info = context.infos[stream]
    rule = context.rules[info.rule]
    if channel is None or not rule.channels:
        return f"{context.root}/{info.id}"
    return f"{context.root}/{info.id}/{slug(rule.channel_names[channel])}"


def switches(context: RenderContext, stream: int, view: View) -> dict[str, bytes]:
    """Give the state of a stream's anomaly topics."""
    rule = context.rule_of(stream)
    places: list[int | None] = [None, *range(len(rule.forecast_names) if rule.channels else 0)]
    raised: set[int | None] = {one.channel for one in view.open.values() if not one.alert.muted}
    if raised:
        raised.add(None)
    return {
        f"{base(context, stream, place)}/anomaly": b"ON" if place in raised else b"OFF" for place in places
    }


def retained(topic: str, payload: bytes) -> Outgoing:
    """Make a message that describes a state."""
    return Outgoing(topic, payload, qos=1, retain=True)
