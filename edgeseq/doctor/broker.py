"""The broker, as far as a client can see it. Everything is done under a client id of our own.

    connect ─▶ limits ─▶ subscriptions ─▶ session, queue and window ─▶ longest message ─▶ the running daemon

Messages of the checks go to <prefix>/<node>/bridge/doctor, which nobody listens to; none is retained.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import msgspec
from paho.mqtt.client import MQTTMessage

from edgeseq.config.resolve import Resolved
from edgeseq.core.payloads import HealthPayload, StatePayload
from edgeseq.core.topics import has_wildcard
from edgeseq.core.types import Reason
from edgeseq.doctor.away import check_session
from edgeseq.doctor.exposure import check_exposure
from edgeseq.doctor.finding import Finding, fail, of_fault, ok, warn
from edgeseq.doctor.mosquitto import check_mosquitto
from edgeseq.doctor.probe import connected
from edgeseq.errors import BrokerError, ConfigError

MAX_TRIED_BYTES = 2**20
OWN_LONGEST_BYTES = 65_536
"""Our list of open alerts, at its longest."""
_CONF = "deploy/mosquitto.conf shows how"


class Granted(msgspec.Struct, frozen=True):
    """What a broker of MQTT 5 says when it greets us; absent is the protocol's default."""

    maximum_qos: int = 2
    is_retain_available: bool = True
    are_wildcards_available: bool = True
    max_packet_bytes: int | None = None
    receive_maximum: int = 65_535
    session_expiry_s: int | None = None
    """Where the broker grants another time than asked for."""


def check_broker(resolved: Resolved) -> Iterator[Finding]:
    """Check the broker; nothing further where it cannot be reached."""
    if resolved.config.mqtt.username and not resolved.config.mqtt.tls and not _is_here(resolved):
        yield warn(
            "password",
            f"it goes to {resolved.config.mqtt.host} unencrypted",
            "TLS to a broker on another machine",
            "set [mqtt] tls = true",
        )
    name = f"edgeseq-doctor-{secrets.token_hex(4)}"
    try:
        yield from _greeting(resolved, name)
        yield from _subscriptions(resolved, name)
        yield from check_session(resolved, name, _topic(resolved))
        yield from _longest(resolved, name)
        yield from _daemon(resolved, name)
    except (BrokerError, ConfigError) as fault:
        yield of_fault("broker", fault)
        return
    yield from check_exposure(resolved, f"{name}-nobody", is_here=_is_here(resolved))
    yield from check_mosquitto(resolved.port, is_here=_is_here(resolved))


def _is_here(resolved: Resolved) -> bool:
    return resolved.config.mqtt.host in ("localhost", "127.0.0.1", "::1")


def _topic(resolved: Resolved) -> str:
    return f"{_root(resolved)}/bridge/doctor"


def _root(resolved: Resolved) -> str:
    return f"{resolved.config.mqtt.topic_prefix}/{resolved.config.node.name}"


# --- limits -----------------------------------------------------------------------------------------------------


def _greeting(resolved: Resolved, name: str) -> Iterator[Finding]:
    # With the daemon's own wish for a session; the next probe, which has this name too, ends it.
    with connected(resolved, name, expiry_s=resolved.session_expiry_s) as probe:
        greeting = probe.greeting
    version = resolved.config.mqtt.version
    yield ok("broker", f"{resolved.config.mqtt.host}:{resolved.port} answers, MQTT {version}")
    if version == "5":
        yield from judge_limits(_granted(greeting), resolved)


def _granted(greeting: Any) -> Granted:
    """Read a CONNACK's properties (MQTT 5.0, section 3.2.2.3)."""
    names = {
        "maximum_qos": "MaximumQoS",
        "is_retain_available": "RetainAvailable",
        "are_wildcards_available": "WildcardSubscriptionAvailable",
        "max_packet_bytes": "MaximumPacketSize",
        "receive_maximum": "ReceiveMaximum",
        "session_expiry_s": "SessionExpiryInterval",
    }
    found = {key: getattr(greeting, told) for key, told in names.items() if hasattr(greeting, told)}
    return msgspec.convert(found, Granted, strict=False)


def judge_limits(granted: Granted, resolved: Resolved) -> Iterator[Finding]:
    """Judge what the broker allows."""
    if granted.maximum_qos < 1:
        yield fail(
            "limits", "no QoS 1", "QoS 1, without which readings and alerts get lost", "use another broker"
        )
    if not granted.is_retain_available:
        do = "allow them (mosquitto: retain_available true)"
        yield fail("limits", "no retained messages", "retained states and open alerts", do)
    if not granted.are_wildcards_available and any(has_wildcard(one) for one in resolved.filters):
        yield fail("limits", "no wildcards", "the configured subscriptions", "name topics without + and #")
    wanted_bytes = max(resolved.config.node.max_payload_bytes, OWN_LONGEST_BYTES)
    if granted.max_packet_bytes is not None and granted.max_packet_bytes < wanted_bytes:
        do = f"raise it (mosquitto: max_packet_size; {_CONF})"
        yield warn("limits", f"packets of {granted.max_packet_bytes:,} bytes", f"{wanted_bytes:,} bytes", do)
    asked_s = resolved.session_expiry_s
    if granted.session_expiry_s is not None and granted.session_expiry_s < asked_s:
        found = f"sessions of {granted.session_expiry_s} s"
        do = "raise it (mosquitto: persistent_client_expiration)"
        yield warn("limits", found, f"what arrives within {asked_s} s is kept", do)
    size = "unlimited" if granted.max_packet_bytes is None else f"{granted.max_packet_bytes:,} bytes"
    told = f"packets: {size}; QoS {granted.maximum_qos}; {granted.receive_maximum:,} alerts in flight"
    yield ok("limits", told)


def _subscriptions(resolved: Resolved, name: str) -> Iterator[Finding]:
    """Ask for what the daemon asks for, by a session that ends at once."""
    if not resolved.filters:
        return
    qos = resolved.config.mqtt.qos
    with connected(resolved, name) as probe:
        reasons = probe.subscribe(resolved.filters, qos)
    pairs = list(zip(resolved.filters, reasons, strict=False))
    refused = [f"{one} ({reason})" for one, reason in pairs if reason.is_failure]
    if len(reasons) < len(resolved.filters) or refused:
        found = ", ".join(refused) or "the broker did not answer"
        do = "let the broker's access list allow this user to read these topics"
        yield fail("subscriptions", f"refused: {found}", "all of them granted", do)
    elif lowered := [one for one, reason in pairs if reason.value < qos]:
        found = f"{', '.join(lowered)} with QoS 0 only"
        yield fail("subscriptions", found, f"QoS {qos}", "allow it at the broker, or set [mqtt] qos = 0")
    else:
        yield ok("subscriptions", f"all {len(pairs)} granted with QoS {qos}")


# --- the longest message, the running daemon ----------------------------------------------------------------------


def _longest(resolved: Resolved, name: str) -> Iterator[Finding]:
    topic, wanted = _topic(resolved), max(resolved.config.node.max_payload_bytes, OWN_LONGEST_BYTES)
    size = min(wanted, MAX_TRIED_BYTES)
    with connected(resolved, name) as probe:
        probe.subscribe([topic], 1)
        probe.publish(topic, [b"live"])
        probe.listen(1)
        is_heard = bool(probe.received)
        probe.publish(topic, [bytes(size)])
        probe.listen(2)
        is_passed = any(len(message.payload) == size for message in probe.received)
    if is_passed:
        yield ok("longest message", f"{size:,} bytes pass")
    elif is_heard:
        do = f"raise the broker's limit (mosquitto: max_packet_size; {_CONF}), or lower [node] max_payload_bytes"
        yield warn("longest message", f"{size:,} bytes do not pass", f"{size:,} bytes", do)


def _daemon(resolved: Resolved, name: str) -> Iterator[Finding]:
    with connected(resolved, name) as probe:
        found = {message.topic: message for message in probe.read_retained(f"{_root(resolved)}/bridge/+")}
    root = f"{_root(resolved)}/bridge"
    yield judge_daemon(found.get(f"{root}/state"), found.get(f"{root}/health"))


def judge_daemon(state: MQTTMessage | None, health: MQTTMessage | None) -> Finding:
    """Judge what the daemon has said of itself: whether it runs, and whether its account of readings is even."""
    try:
        word = msgspec.json.decode(state.payload, type=StatePayload).state if state else "not seen yet"
        told = msgspec.json.decode(health.payload, type=HealthPayload) if health else None
    except msgspec.MsgspecError as fault:
        do = "find out who publishes below this node's topics"
        return warn("daemon", f"its last words cannot be read: {fault}", "bridge/state and bridge/health", do)
    if told is None:
        return ok("daemon", word)
    rejected = sum(told.rejected.values())
    parts = {"applied": told.applied, "late": told.late, "duplicate": told.duplicate, "rejected": rejected}
    account = " + ".join(f"{count:,} {name}" for name, count in {**parts, "shed": told.shed}.items())
    found = f"{word}; {told.received:,} received = {account} ({told.time})"
    if told.received != sum(parts.values()) + told.shed:
        return fail("daemon", found, "an even account of readings", "report this as a bug of edgeseq")
    if refused := told.rejected.get(Reason.TOO_MANY_STREAMS, 0):
        found = f"{word}; {told.streams:,} streams, and {refused:,} readings of further ones refused ({told.time})"
        do = "raise [node] max_streams, or narrow the topic or its own max_streams; the log names one of them"
        return warn("daemon", found, "room for every stream that is wanted", do)
    return ok("daemon", found)
