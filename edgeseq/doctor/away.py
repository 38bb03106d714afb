"""What waits at the broker for a session that is away: whether it is kept, how much of it, and how fast it comes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from edgeseq.config.resolve import Resolved
from edgeseq.doctor.finding import Finding, fail, ok, warn
from edgeseq.doctor.probe import EXPIRY_S, connected

KEPT = 1200
"""Messages sent to a session that is away: more than mosquitto keeps unless told to (1000, and 20 in flight)."""
_CONF = "deploy/mosquitto.conf shows how"


class Away(msgspec.Struct, frozen=True):
    """What a session that was away found when it came back."""

    is_heard: bool
    """Whether a message came while it was connected: else the topic is not readable, and the rest says nothing."""
    is_session_present: bool = False
    window: int = 0
    """Messages that came before any was acknowledged."""
    kept: int = 0


def check_session(resolved: Resolved, name: str, topic: str) -> Iterator[Finding]:
    """Leave a session, send it messages on a topic, and come back for them. Raises BrokerError and ConfigError."""
    if resolved.config.mqtt.qos == 0:  # nothing waits for a subscription of QoS 0
        return
    session = f"{name}-away"
    try:
        away = _be_away(resolved, name, session, topic)
    finally:
        with connected(resolved, session):  # a clean one: the broker forgets it
            pass
    yield from judge_away(away, resolved.config.mqtt.inflight, topic)


def _be_away(resolved: Resolved, name: str, session: str, topic: str) -> Away:
    with connected(resolved, session, is_clean=False, expiry_s=EXPIRY_S) as probe:
        probe.subscribe([topic], 1)
        probe.publish(topic, [b"live"])
        probe.listen(1)
        probe.acknowledge()
        is_heard = any(message.qos == 1 for message in probe.received)
    if not is_heard:
        return Away(is_heard=False)
    with connected(resolved, name) as other:
        other.publish(topic, [b"%d" % number for number in range(KEPT)])
    with connected(resolved, session, is_clean=False, expiry_s=EXPIRY_S) as probe:
        probe.listen(KEPT)
        window = len(probe.received)
        while probe.acknowledge():
            probe.listen(len(probe.received) + 1)
        kept = len({bytes(message.payload) for message in probe.received})
        return Away(True, probe.is_session_present, window, kept)


def judge_away(away: Away, inflight: int, topic: str) -> Iterator[Finding]:
    """Judge whether readings wait for a daemon that is restarted, and how fast they then come."""
    if not away.is_heard:
        do = f"let the broker's access list allow this user to write and read {topic}"
        yield warn("session", f"cannot be told: a message to {topic} did not come back", "an echo", do)
        return
    if not away.is_session_present or not away.kept:
        found = "forgotten at once" if not away.is_session_present else "kept without its messages"
        do = "allow persistent sessions and queues for this client at the broker"
        yield fail("session", found, "what arrives while edgeseq is away is kept", do)
        return
    yield ok("session", "kept while away, with its messages of QoS 1")
    if away.kept < KEPT:
        found = f"{away.kept:,} of {KEPT:,} messages kept while away; the others are lost"
        do = f"raise the broker's queue (mosquitto: max_queued_messages 100000; {_CONF})"
        yield warn("queue", found, "all that come during a restart or an update", do)
    else:
        yield ok("queue", f"{away.kept:,} of {KEPT:,} messages kept while away")
    if away.window < min(inflight, KEPT):
        found = f"{away.window:,} messages at most between two acknowledgements"
        do = f"raise it (mosquitto: max_inflight_messages 1000; {_CONF})"
        yield warn("window", found, f"{inflight:,}: each write to the disk acknowledges that many", do)
    else:
        yield ok("window", f"{away.window:,} messages between two acknowledgements")
