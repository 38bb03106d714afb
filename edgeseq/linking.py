"""Between configuration and broker link: its settings, and what to say of its faults."""

from __future__ import annotations

from edgeseq.adapters import mqtt
from edgeseq.adapters.log import Log
from edgeseq.compose import Node
from edgeseq.config.resolve import Resolved
from edgeseq.core.bridge import bridge_state
from edgeseq.errors import ConfigError, LoginError

MAX_PACKET_BYTES = 2**20
"""Larger messages are not even sent to us (MQTT 5); smaller ones beyond max_payload_bytes are refused and counted."""


def open_link(node: Node, sink: mqtt.Sink, *, generation: int = 0) -> mqtt.Link:
    """Make the link of a node. Raises ConfigError where the TLS files cannot be used."""
    try:
        return mqtt.open_link(link_settings(node), sink, generation=generation)
    except OSError as fault:
        raise ConfigError(
            "TLS cannot be set up",
            where="mqtt.ca_file, mqtt.cert_file, mqtt.key_file",
            found=str(fault),
            wanted="certificates and a key in PEM format that belong together",
            do="check the files and that this user may read them",
        ) from fault


def link_settings(node: Node) -> mqtt.Settings:
    """Collect what the link needs to know."""
    resolved = node.resolved
    settings = resolved.config.mqtt
    return mqtt.Settings(
        host=settings.host,
        port=resolved.port,
        client_id=resolved.client_id,
        filters=resolved.filters,
        will=bridge_state(node.context.root, "offline"),
        is_version_5=settings.version == "5",
        username=settings.username,
        password=resolved.password,
        keepalive_s=settings.keepalive_s,
        qos=settings.qos,
        inflight=settings.inflight,
        session_expiry_s=resolved.session_expiry_s,
        max_packet_bytes=max(MAX_PACKET_BYTES, 2 * resolved.config.node.max_payload_bytes),
        is_tls=settings.tls,
        ca_file=_text(resolved.ca_file),
        cert_file=_text(resolved.cert_file),
        key_file=_text(resolved.key_file),
        stale_filters=tuple(f for f in node.old_filters if f not in resolved.filters),
    )


def take_fault(log: Log, node: Node, item: object) -> None:
    """Log what the link says. Raises LoginError where a first start is in vain."""
    tell_fault(log, node.resolved, item)
    if isinstance(item, mqtt.Refused):
        require_login(node, item)


def require_login(node: Node, refused: mqtt.Refused) -> None:
    """Give up where no broker has ever let this node in: then somebody is setting it up, and looks.

    One that was let in before tries again for ever: what is wrong is more likely the broker's, and may pass.

    Raises:
        LoginError: user or password are wrong, and no session has ever begun with this state.
    """
    if node.had_session or not refused.is_of_login:
        return
    settings = node.resolved.config.mqtt
    raise LoginError(
        "the broker does not let this node in",
        where=f"{settings.host}:{node.resolved.port}",
        found=f"{refused.reason}, as user {settings.username}" if settings.username else refused.reason,
        wanted="a user that the broker knows, and its password",
        do="set [mqtt] username and password_file (with systemd: the credential mqtt-password), or let it in at"
        " the broker; then start edgeseq again",
    )


def tell_fault(log: Log, resolved: Resolved, item: object) -> None:
    """Log what the link says: what, where, and what to do."""
    where = f"{resolved.config.mqtt.host}:{resolved.port}"
    match item:
        case mqtt.Degraded(reason):
            do = "install the version of paho-mqtt that requirements/ names; until then a message costs more CPU"
            log("transport.degraded", reason=reason, do=do)
        case mqtt.Disconnected(reason, is_repeated):
            do = "nothing: it is tried again"
            if "taken over" in reason.lower():
                do = _other_client(resolved.client_id)
            elif is_repeated:
                do = f"where network and broker are well, {_other_client(resolved.client_id)}"
            log("broker.disconnected", where=where, reason=reason, do=do)
        case mqtt.Unreachable(reason, retry_s):
            do = "check mqtt.host, mqtt.port and mqtt.version, and that the broker runs"
            log("broker.missed", where=where, reason=reason, retry_s=retry_s, do=do)
        case mqtt.Refused(reason, retry_s):
            do = "check mqtt.username and the password, and what the broker allows this client"
            user = resolved.config.mqtt.username
            log("broker.refused", where=where, reason=reason, username=user, retry_s=retry_s, do=do)
        case mqtt.SubscriptionRefused(filters, reason):
            do = "let the broker's access list allow this user to read these topics"
            log("subscription.refused", where=where, filters=list(filters), reason=reason, do=do)
        case mqtt.PublishRefused(topic, reason):
            do = "let the broker's access list allow this user to write below this topic"
            log("publish.refused", where=where, topic=topic, reason=reason, do=do)
        case mqtt.TooLarge(topic, size_bytes, most_bytes):
            do = "raise the broker's limit (mosquitto: max_packet_size), or set path = false for the stream"
            log(
                "publish.oversized",
                where=where,
                topic=topic,
                size_bytes=size_bytes,
                most_bytes=most_bytes,
                do=do,
            )


def _other_client(client_id: str) -> str:
    return (
        f"another client uses client_id {client_id}: give each node its own [node] name (or mqtt.client_id)"
    )


def _text(path: object) -> str | None:
    return None if path is None else str(path)
