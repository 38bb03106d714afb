"""What a link tells, as values for the inbox."""

from __future__ import annotations

import msgspec

from edgeseq.core.types import Message

NOT_LET_IN = frozenset({"Bad user name or password", "Not authorized", "Bad authentication method"})
"""Reasons of a CONNACK that are about who we are: waiting does not help, as it does where the broker is busy."""


class Deliveries(msgspec.Struct, frozen=True):
    """Messages in the order of arrival, and the connection they came by. May be cut, as a list may."""

    messages: list[Message]
    generation: int

    def __len__(self) -> int:
        return len(self.messages)

    def __getitem__(self, part: slice) -> Deliveries:
        return Deliveries(self.messages[part], self.generation)


class Connected(msgspec.Struct, frozen=True):
    """The broker has accepted us."""

    is_session_present: bool


class Disconnected(msgspec.Struct, frozen=True):
    """An accepted connection is gone."""

    reason: str
    is_repeated: bool = False
    """The broker takes us at once and closes soon, again and again, as if two clients stole each other's session.

    MQTT 5 has a reason for that, which not every broker gives (mosquitto 2.0.11 does not)."""


class Unreachable(msgspec.Struct, frozen=True):
    """A connection could not be made."""

    reason: str
    retry_s: float


class Refused(msgspec.Struct, frozen=True):
    """The broker does not want us."""

    reason: str
    retry_s: float

    @property
    def is_of_login(self) -> bool:
        """Tell whether user or password are not what it wants."""
        return self.reason in NOT_LET_IN


class Subscribed(msgspec.Struct, frozen=True):
    """The broker has taken our subscriptions: from here on, nothing published with QoS 1 is missed."""


class SubscriptionRefused(msgspec.Struct, frozen=True):
    """The broker does not allow some of the subscriptions."""

    filters: tuple[str, ...]
    reason: str


class PublishRefused(msgspec.Struct, frozen=True):
    """The broker has refused an alert for good."""

    topic: str
    reason: str


class TooLarge(msgspec.Struct, frozen=True):
    """Something was not sent, since the broker takes no packet of this size: the first in a minute."""

    topic: str
    size_bytes: int
    most_bytes: int


class Degraded(msgspec.Struct, frozen=True):
    """The installed paho is not what the fast transport was made for: packets go one by one."""

    reason: str
